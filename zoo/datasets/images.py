"""`Images`: pictures in memory with their classes, and the ways to split them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """N pictures with their classes; arrays are shared, never copied, and never written to.

    - `images`: `(N, H, W, C)` uint8, 0..255.
    - `labels`: `(N,)` int64; `names[label]` is the name of the class.
    - `groups`: `(N,)` int64 or None, a coarser class (an alphabet); `group_names[group]` is its
      name.
    - `drawers`: `(N,)` int64 or None, who drew the picture.

    A selection keeps labels and names unchanged: after `where(...)` some names may have no
    pictures, and `relabelled()` numbers the remaining classes 0, 1, 2, ...

    Raises `ValueError` if shapes, types or labels do not match.
    """

    images: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    groups: np.ndarray | None = None
    group_names: tuple[str, ...] = ()
    drawers: np.ndarray | None = None

    def __post_init__(self) -> None:
        images = np.asarray(self.images)
        if images.ndim != 4 or images.dtype != np.uint8:
            raise ValueError(
                "`images` has the wrong form. Expected: a uint8 array (N, H, W, C). "
                f"Received: {images.dtype} {images.shape}."
            )
        object.__setattr__(self, "images", images)
        for field in ("labels", "groups", "drawers"):
            if getattr(self, field) is not None:
                object.__setattr__(self, field, _integers(getattr(self, field), field, len(images)))
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "group_names", tuple(self.group_names))
        _check_named(self.labels, self.names, "labels", "names")
        if self.groups is not None:
            _check_named(self.groups, self.group_names, "groups", "group_names")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        height, width, channels = self.shape
        kind = {1: "grey", 3: "RGB"}.get(channels, f"{channels}-channel")
        classes = _listing([self.names[label] for label in self.classes[:5]], len(self.classes))
        text = f"Images({len(self):,} {kind} pictures of {height} x {width}, classes: {classes}"
        if self.groups is not None:
            text += f", {len(np.unique(self.groups))} groups"
        if self.drawers is not None:
            text += f", {len(np.unique(self.drawers))} drawers"
        return text + f", {self.images.nbytes / 2**20:.1f} MiB)"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one picture: an encoder's `input_shape`."""
        return self.images.shape[1:]

    @property
    def classes(self) -> np.ndarray:
        """The labels that occur, ascending."""
        return np.unique(self.labels)

    def where(self, mask: np.ndarray) -> "Images":
        """The pictures that a mask `(N,)` keeps, or those at the positions of an integer array."""
        mask = np.asarray(mask)
        if mask.dtype == bool and mask.shape != self.labels.shape:
            raise ValueError(
                f"The mask does not fit the pictures. Expected: the shape ({len(self)},). "
                f"Received: {mask.shape}."
            )
        if mask.dtype != bool and not np.issubdtype(mask.dtype, np.integer) and mask.size:
            raise ValueError(
                "A selection is a mask or a list of positions. Expected: booleans or integers. "
                f"Received: {mask.dtype}."
            )
        chosen = mask if mask.dtype == bool else mask.astype(np.int64)
        return replace(
            self,
            images=self.images[chosen],
            labels=self.labels[chosen],
            groups=None if self.groups is None else self.groups[chosen],
            drawers=None if self.drawers is None else self.drawers[chosen],
        )

    def batches(self, workers: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """`(positions, images)` of 64 at a time, in order, as photographs on the disk give them."""
        for start in range(0, len(self), 64):
            rows = np.arange(start, min(start + 64, len(self)))
            yield rows, self.images[rows]

    def of_classes(self, labels: Sequence[int | str]) -> "Images":
        """The pictures of the classes named, by label or by name."""
        return self.where(np.isin(self.labels, self.labels_of(labels)))

    def of_groups(self, groups: Sequence[int | str]) -> "Images":
        """The pictures of the groups named, by number or by name."""
        if self.groups is None:
            raise ValueError(
                f"These pictures have no groups. Expected: groups. Received: {self!r}."
            )
        return self.where(np.isin(self.groups, _numbers(groups, self.group_names, "group")))

    def labels_of(self, classes: Sequence[int | str]) -> np.ndarray:
        """Labels of classes given by label or by name; `ValueError` for one that is unknown."""
        return _numbers(classes, self.names, "class")

    def relabelled(self) -> "Images":
        """The same pictures with the classes that occur numbered 0, 1, 2, ... in the old order."""
        classes, labels = np.unique(self.labels, return_inverse=True)
        return replace(self, labels=labels, names=tuple(self.names[label] for label in classes))


def joined(first: Images, second: Images) -> Images:
    """The pictures of both sets, of one size and without a common class; groups are dropped.

    Labels of the second go on after the names of the first.
    """
    return Images(
        np.concatenate([first.images, second.images]),
        np.concatenate([first.labels, second.labels + len(first.names)]),
        (*first.names, *second.names),
    )


def split_by_class(
    images: Images, held_out: int | float | Sequence[int | str], *, seed: int = 0
) -> tuple[Images, Images]:
    """Two sets without a common class: (training classes, held-out classes).

    `held_out` is a number of classes or a fraction of them below 1, drawn with `seed`; or the
    classes themselves, by label or name. Raises `ValueError` when one of the two sets would be
    empty.
    """
    classes = images.classes
    if isinstance(held_out, (int, float, np.integer, np.floating)):
        whole = isinstance(held_out, (int, np.integer))
        count = int(held_out) if whole else round(held_out * len(classes))
        chosen = np.random.default_rng(seed).permutation(classes)[: max(count, 0)]
    else:
        chosen = images.labels_of(held_out)
    unseen = np.isin(images.labels, chosen)
    if unseen.all() or not unseen.any():
        raise ValueError(
            "Classes must remain on both sides. Expected: `held_out` to name between 1 and "
            f"{len(classes) - 1} of {len(classes)} classes. Received: held_out={held_out!r}."
        )
    return images.where(~unseen), images.where(unseen)


def stratified_split(
    images: Images, fraction: float = 0.2, *, seed: int = 0
) -> tuple[Images, Images]:
    """(training, validation): the same fraction of every class, drawn with `seed`.

    Of a class of k pictures round(fraction k) are validation, at least 1 and at most k - 1; a class
    with a single picture is only in training. Both sets keep the order of the pictures.
    """
    if not 0 < fraction < 1:
        raise ValueError(
            "The validation part is out of range. Expected: a fraction between 0 and 1. "
            f"Received: {fraction!r}."
        )
    rng = np.random.default_rng(seed)
    validation = np.zeros(len(images), bool)
    for label in images.classes:
        members = np.flatnonzero(images.labels == label)
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        validation[rng.permutation(members)[:count]] = True
    return images.where(~validation), images.where(validation)


def _integers(values: np.ndarray, field: str, count: int) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != (count,) or not (np.issubdtype(values.dtype, np.integer) or not count):
        raise ValueError(
            f"`{field}` does not fit the pictures. Expected: {count} integers, shape ({count},). "
            f"Received: {values.dtype} {values.shape}."
        )
    return values.astype(np.int64, copy=False)


def _check_named(numbers: np.ndarray, names: tuple[str, ...], field: str, names_field: str) -> None:
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= len(names)):
        raise ValueError(
            f"`{field}` points outside `{names_field}`. Expected: numbers 0 to {len(names) - 1}. "
            f"Received: {numbers.min()} to {numbers.max()}."
        )


def _numbers(wanted: Sequence[int | str], names: tuple[str, ...], what: str) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(names)}
    numbers.update({number: number for number in range(len(names))})
    unknown = [item for item in wanted if item not in numbers]
    if unknown:
        raise ValueError(
            f"Unknown {what}. Expected: one of {_listing(names[:5], len(names))}, or a number. "
            f"Received: {unknown[:5]!r}."
        )
    return np.array([numbers[item] for item in wanted], np.int64)


def _listing(first: Sequence[str], count: int) -> str:
    more = ", ..." if count > len(first) else ""
    return f"{count} ({', '.join(first)}{more})"

"""The images of each class: the index from which all samplers draw."""

import numpy as np


def integer_labels(labels) -> np.ndarray:
    """Labels as int64 `(N,)`; `(N, 1)` is accepted, labels that are not integers raise an error."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            "Labels must name one class an image. Expected: integers of shape (N,) or (N, 1). "
            f"Received: {labels.dtype} of shape {labels.shape}.{_way_out(labels)}"
        )
    if labels.dtype == np.uint64 and labels.size and labels.max() > np.iinfo(np.int64).max:
        raise ValueError(
            "A label does not fit a signed 64-bit integer. "
            f"Expected: labels below 2**63. Received: {labels.max()}."
        )
    return labels.astype(np.int64)


def _way_out(labels: np.ndarray) -> str:
    if labels.ndim == 1:
        return " np.unique(labels, return_inverse=True)[1] numbers the classes of any labels."
    if labels.ndim == 2:
        return " One-hot rows become integers with labels.argmax(-1)."
    return ""


class ByClass:
    """The images of every class: `members(c)` are the row numbers of class number `c`."""

    def __init__(self, images, labels):
        self.labels = integer_labels(labels)
        self.images = checked_pairing(images, self.labels)
        self.order = np.argsort(self.labels, kind="stable")
        self.names, self.starts, self.sizes = np.unique(
            self.labels[self.order], return_index=True, return_counts=True
        )

    def __len__(self) -> int:
        """The number of classes."""
        return len(self.names)

    def members(self, number: int) -> np.ndarray:
        start = self.starts[number]
        return self.order[start : start + self.sizes[number]]

    def take(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.images[rows])

    def at_least(self, classes: int, images: int, what: str) -> None:
        """Raise an error if fewer than `classes` classes have `images` images."""
        found = int((self.sizes >= images).sum())
        if found < classes:
            raise ValueError(
                f"Too few classes for {what}. "
                f"Expected: at least {classes} with {images} or more images each. "
                f"Received: {found} such classes out of {len(self)}."
            )


class ByLabel(ByClass):
    """The images of every label, of rows of labels (N, L): an image is a member of each it has."""

    def __init__(self, images, labels):
        self.labels = label_rows(labels)
        self.images = checked_pairing(images, self.labels)
        columns, self.order = np.nonzero(self.labels.T)
        self.names, self.starts, self.sizes = np.unique(
            columns, return_index=True, return_counts=True
        )


def label_rows(labels) -> np.ndarray:
    """Rows of labels as int32 `(N, L)` of 0 and 1; anything else is refused."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "iub" or not np.isin(labels, (0, 1)).all():
        raise ValueError(
            "Rows of labels must say which labels an image has. Expected: integers 0 and 1 of "
            f"shape (N, L). Received: {labels.dtype} of shape {labels.shape}."
        )
    return labels.astype("int32")


def checked_pairing(images, labels):
    """The images, which are as many as the labels; a list becomes an array."""
    images = np.asarray(images) if isinstance(images, list | tuple) else images
    if len(images) != len(labels):
        raise ValueError(
            "Images and labels must pair up. Expected: one label an image. "
            f"Received: {len(images)} images and {len(labels)} labels."
        )
    return images


def domains(images, labels) -> tuple[ByClass, ...]:
    """One `ByClass`, or two for `images=(a, b), labels=(a, b)`, with the classes both have."""
    if not (isinstance(images, tuple) and isinstance(labels, tuple)):
        return (ByClass(images, labels),)
    if len(images) != 2 or len(labels) != 2:
        raise ValueError(
            "Two domains are two sets of images with their labels. Expected: a tuple of two for "
            f"both. Received: {len(images)} sets of images and {len(labels)} of labels."
        )
    first, second = (ByClass(*pair) for pair in zip(images, labels, strict=True))
    shared = np.intersect1d(first.names, second.names)
    return _only(first, shared), _only(second, shared)


def _only(classes: ByClass, names: np.ndarray) -> ByClass:
    """The same images, with the classes not in `names` left out of every draw."""
    kept = np.isin(classes.names, names)
    for field in ("names", "starts", "sizes"):
        setattr(classes, field, getattr(classes, field)[kept])
    return classes

"""Which photographs are learnt from, which the epoch is chosen on, and which measure the model."""

from typing import NamedTuple

import numpy as np

from zoo.datasets.reading.photographs import Listing

CLASSES, PHOTOS, GIVEN = "classes", "photos", "given"
WAYS = ("auto", CLASSES, PHOTOS)
FEW_CLASSES, MANY_PHOTOS = 50, 10
NONE, TRAIN, VALIDATION, TEST = -1, 0, 1, 2


class Shares(NamedTuple):
    """Shares that are held out, of the classes or of the photographs."""

    validation: float
    test: float


def way(listing: Listing) -> str:
    """How photographs are held out by default.

    Where the source says which part each is in, as it says. Of at most 50 classes with a median of
    10 photographs or more, photographs of every class: the same classes will be asked for later. Of
    all others, whole classes: what will be asked for is new.
    """
    if (listing.parts >= 0).any():
        return GIVEN
    sizes = np.bincount(listing.labels)
    closed = len(sizes) <= FEW_CLASSES and np.median(sizes) >= MANY_PHOTOS
    return PHOTOS if closed or len(sizes) < 6 else CLASSES


def parts(listing: Listing, how: str, shares: Shares, seed: int = 0) -> np.ndarray:
    """`(N,)` int8: `TRAIN`, `VALIDATION` or `TEST` of each photograph, `NONE` for one left out.

    - "classes": whole classes are held out; photographs of one group stay together, so classes that
      share a group move as one.
    - "photos": of each class the shares are held out, two photographs at least, so that they can
      find each other, where two are left to learn from; whole groups where there are groups.
    - "given": as the source says; photographs of which it says nothing are learnt from. Where it
      names no validation part, that is held out of what is to be learnt from.

    Raises:
        ValueError: parts that would be empty.
    """
    if how == GIVEN:
        found = np.where(listing.parts < 0, np.int8(TRAIN), listing.parts)
        if not (found == VALIDATION).any() and (found == TEST).any():
            known = found == TRAIN
            found = found.copy()
            found[known] = _drawn_photos(
                listing.labels[known], _of(listing.groups, known), Shares(shares.validation, 0),
                seed,
            )  # fmt: skip
    elif how == CLASSES:
        found = _drawn_classes(listing, shares, seed)
    else:
        found = _drawn_photos(listing.labels, listing.groups, shares, seed)
    _check(listing, found, how)
    return found


def _drawn_classes(listing: Listing, shares: Shares, seed: int) -> np.ndarray:
    """Blocks of classes that share no group are drawn; a block of one photograph is learnt from."""
    blocks = _blocks(listing)[listing.labels]
    names, sizes = np.unique(blocks, return_counts=True)
    able = names[sizes > 1]
    drawn = np.random.default_rng(seed).permutation(able)
    counts = [max(2, round(share * len(names))) if share else 0 for share in shares]
    if sum(counts) + 2 > len(able):
        raise ValueError(
            "There are too few classes to hold some out. Expected: at least "
            f"{sum(counts) + 2} classes of two photographs or more, or --split photos. Received: "
            f"{len(able)} of {len(listing.names)} classes."
        )
    first, second = drawn[: counts[0]], drawn[counts[0] : sum(counts)]
    found = np.full(len(listing), TRAIN, np.int8)
    found[np.isin(blocks, first)] = VALIDATION
    found[np.isin(blocks, second)] = TEST
    return found


def _blocks(listing: Listing) -> np.ndarray:
    """Of each class a number; classes that share a group have the same one."""
    parent = np.arange(len(listing.names))
    if listing.groups is None:
        return parent

    def root(label: int) -> int:
        while parent[label] != label:
            parent[label] = parent[parent[label]]
            label = parent[label]
        return label

    first_of: dict[int, int] = {}
    pairs = np.unique(listing.groups.astype(np.int64) * len(parent) + listing.labels)
    for group, label in zip(*(part.tolist() for part in divmod(pairs, len(parent))), strict=True):
        parent[root(label)] = root(first_of.setdefault(group, label))
    return np.array([root(label) for label in range(len(parent))])


def _drawn_photos(labels, groups, shares: Shares, seed: int) -> np.ndarray:
    """Of each class whole groups (or photographs) until the shares are reached."""
    rng = np.random.default_rng(seed)
    found = np.full(len(labels), TRAIN, np.int8)
    settled: dict[int, int] = {}  # a group of two classes goes where the first one put it
    order = np.argsort(labels, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if groups is None:
            first, second = _wanted(len(members), len(members), shares)
            drawn = rng.permutation(members)
            found[drawn[:first]], found[drawn[first : first + second]] = VALIDATION, TEST
            continue
        mine, sizes = np.unique(groups[members], return_counts=True)
        place = rng.permutation(len(mine))
        wanted = _wanted(len(members), len(mine), shares)
        taken = [0, 0]
        for unit, size in zip(mine[place], sizes[place], strict=True):
            part = next((p for p in (0, 1) if taken[p] < wanted[p]), None)
            settled.setdefault(int(unit), TRAIN if part is None else part + 1)
            if part is not None and settled[int(unit)] == part + 1:
                taken[part] += size
    if settled:
        keys = np.array(sorted(settled))
        values = np.array([settled[int(key)] for key in keys], np.int8)
        found = values[np.searchsorted(keys, groups)]
    return found


def _wanted(photos: int, units: int, shares: Shares) -> list[int]:
    """How many photographs of a class validation and test get: two at least, which can find each
    other, and never more than leaves two to learn from."""
    wanted = [max(2, round(share * photos)) if share else 0 for share in shares]
    while units < sum(wanted) + 2 and any(wanted):
        wanted[1 if wanted[1] else 0] = 0
    return wanted


def _of(values: np.ndarray | None, chosen: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[chosen]


def _check(listing: Listing, found: np.ndarray, how: str) -> None:
    counts = {
        name: (int((found == part).sum()), len(np.unique(listing.labels[found == part])))
        for part, name in ((TRAIN, "to learn from"), (VALIDATION, "to choose on"))
    }
    lacking = [name for name, (photos, classes) in counts.items() if classes < 2 or photos < 4]
    if lacking:
        told = ", ".join(f"{n} photographs of {c} classes {w}" for w, (n, c) in counts.items())
        raise ValueError(
            f"The photographs cannot be split by {how}. Expected: photographs of two classes or "
            f"more {' and '.join(lacking)}. Received: {told}."
        )

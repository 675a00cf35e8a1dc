"""Find what is wrong in a set of photographs: copies, leakage, labels, outliers, unreadable files.

    found = clean("efficientnet_lite0", ["photos/"], "out/clean")
    print(found)                   how many of each kind
    found.table()                  a row for each photograph and fault

The work grows with N log N: pairs are compared among nearest neighbors only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.cleaning.duplicates import LEAST, Pair, find_pairs, groups_of
from zoo.cleaning.labels import FOLDS, find_suspects
from zoo.cleaning.photos import Photos, read_photos

NEIGHBORS = 10
BLANK = 2.0  # gray levels: standard deviation of a thumbnail up to which it shows nothing
FENCE = 3.0  # interquartile ranges above the third quartile: Tukey's "far out"
HEAD = ("kind", "file", "part", "label", "group", "other", "score", "suggestion")


@dataclass(frozen=True)
class Group:
    """Photographs of one picture: rows in order, and the pairs that join them."""

    rows: tuple[int, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Suspect:
    """A label that is probably wrong: its row, the class it seems to be, P(wrong)."""

    row: int
    label: str
    chance: float


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found in `photos`; `bool()` says whether anything was.

    - `duplicates`: groups of photographs that show one picture.
    - `suspects`: labels that are probably wrong, the surest first; None if labels were not judged.
    - `outliers`: rows unlike all others and the cosine distance to their neighbors, farthest first.
    - `blank`: rows that show one color.
    """

    photos: Photos
    duplicates: list[Group]
    suspects: list[Suspect] | None
    outliers: list[tuple[int, float]]
    blank: list[int]

    @property
    def leakage(self) -> list[Group]:
        """Groups with photographs in several folders, lists or splits."""
        return [group for group in self.duplicates if len(self._parts(group)) > 1]

    def __bool__(self) -> bool:
        found = (self.duplicates, self.suspects, self.outliers, self.blank, self.photos.broken)
        return any(found)

    def counts(self) -> dict[str, int | None]:
        """How many of each kind."""
        return {
            "photographs": len(self.photos.files),
            "broken": len(self.photos.broken),
            "blank": len(self.blank),
            "duplicate groups": len(self.duplicates),
            "duplicates": sum(len(group.rows) - 1 for group in self.duplicates),
            "leakage groups": len(self.leakage),
            "suspect labels": None if self.suspects is None else len(self.suspects),
            "outliers": len(self.outliers),
        }

    def __str__(self) -> str:
        counts = self.counts()
        suspects = counts["suspect labels"]
        across = f", {counts['leakage groups']} across parts" if self.leakage else ""
        return "\n".join(
            [
                f"{counts['photographs']:,} photographs, {counts['broken']} unreadable, "
                f"{counts['blank']} blank",
                f"{counts['duplicates']} duplicates in {counts['duplicate groups']} groups{across}",
                "labels were not judged: fewer than two classes of enough photographs, or "
                "embeddings that do not tell the classes apart"
                if suspects is None
                else f"{suspects} suspect labels",
                f"{counts['outliers']} outliers",
            ]
        )

    def table(self) -> list[dict[str, Any]]:
        """A row for each photograph and fault, with the columns `HEAD`."""
        files = self.photos.files
        rows = [
            self._row("broken", None, file=one["image"], suggestion=one["reason"])
            for one in self.photos.broken
        ]
        rows += [self._row("blank", row) for row in self.blank]
        for number, group in enumerate(self.duplicates, 1):
            kind = "leakage" if len(self._parts(group)) > 1 else "duplicate"
            for row in group.rows:
                pair = max(
                    (one for one in group.pairs if row in (one.first, one.second)),
                    key=lambda one: (one.exact, one.correlation),
                )
                other = pair.second if row == pair.first else pair.first
                score = round(pair.correlation, 4)
                rows.append(self._row(kind, row, group=number, other=files[other], score=score))
        rows += [
            self._row("label", one.row, suggestion=one.label, score=round(one.chance, 4))
            for one in self.suspects or ()
        ]
        return rows + [
            self._row("outlier", row, score=round(distance, 4)) for row, distance in self.outliers
        ]

    def _row(self, kind: str, row: int | None, **more: Any) -> dict[str, Any]:
        known: dict[str, Any] = dict.fromkeys(HEAD, "")
        if row is not None:
            photos = self.photos
            known |= {"file": photos.files[row], "part": photos.parts[row]}
            known["label"] = photos.labels[row] or ""
        return {**known, "kind": kind, **more}

    def _parts(self, group: Group) -> set[str]:
        return {self.photos.parts[row] for row in group.rows}


def clean(
    model: str,
    places: Sequence[str],
    work: str | Path,
    *,
    least: float = LEAST,
    seed: int = 0,
    **network_options: Any,
) -> Findings:
    """Look through the photographs of folders or lists.

    Args:
        model: whose embeddings say what is near; a backbone's name, a run, a file.
        work: a folder that keeps the embeddings, so that a killed run goes on.
        least: correlation of thumbnails from which on two pictures are one, see `duplicates`.
        seed: of the division into folds for the labels.
        network_options: `size`, `branch`, `layer`, ... of a model that needs them.

    Raises:
        FileNotFoundError: no such model, folder or list.
        ValueError: not one photograph that can be read; `least` out of range.
    """
    from keras_metric.arguments import number

    least = number("least", least, above=0, most=1)
    return findings(read_photos(model, places, Path(work), **network_options), least, seed)


def findings(photos: Photos, least: float = LEAST, seed: int = 0) -> Findings:
    """What is wrong with photographs that were read and embedded."""
    ids, distances = photos.nearest(NEIGHBORS)
    pairs = find_pairs(ids, distances, photos.thumbnails, photos.digests, least=least)
    groups = groups_of(pairs, len(photos.files))
    blank = photos.thumbnails.std(axis=(1, 2)) <= BLANK
    return Findings(
        photos,
        [_group(rows, pairs) for rows in groups],
        _suspects(photos, groups, blank, seed),
        _outliers(distances, groups, blank),
        np.flatnonzero(blank).tolist(),
    )


def _group(rows: list[int], pairs: list[Pair]) -> Group:
    return Group(tuple(rows), tuple(pair for pair in pairs if pair.first in set(rows)))


def _suspects(
    photos: Photos, groups: list[list[int]], blank: np.ndarray, seed: int
) -> list[Suspect] | None:
    """None where there are not two classes with enough photographs for each fold, or where the
    embeddings do not tell the classes apart."""
    labelled = np.array([label is not None for label in photos.labels])
    known = np.flatnonzero(labelled & ~blank)
    names, labels, counts = np.unique(
        [photos.labels[row] for row in known], return_inverse=True, return_counts=True
    )
    if (counts >= FOLDS).sum() < 2:
        return None
    group = np.arange(len(photos.files))
    for rows in groups:
        group[rows] = rows[0]
    found = find_suspects(photos.embeddings[known], labels, group[known], seed=seed)
    if found is None:
        return None
    return [
        Suspect(int(known[row]), str(names[one]), float(chance))
        for row, one, chance in zip(found.rows, found.classes, found.chances, strict=True)
    ]


def _outliers(
    distances: np.ndarray, groups: list[list[int]], blank: np.ndarray
) -> list[tuple[int, float]]:
    """Rows whose median neighbor is far out, farthest first; copies and blank ones left out."""
    if distances.shape[1] < 2 or len(distances) < 20:
        return []
    apart = np.median(distances, axis=1)
    low, high = np.quantile(apart, [0.25, 0.75])
    far = apart > high + FENCE * (high - low)
    far[blank] = False
    far[[row for rows in groups for row in rows]] = False
    rows = np.flatnonzero(far)
    return [(int(row), float(apart[row])) for row in rows[np.argsort(-apart[rows], kind="stable")]]

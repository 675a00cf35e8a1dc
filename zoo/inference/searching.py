"""Search photographs in an index: their neighbors, labels, and a picture of the result."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_metric import image_files
from keras_metric.arguments import number
from keras_metric.preprocessing import check_same
from keras_metric.retrieval import Calibration, Filter, Index, Refinement, matched, refuse_another
from zoo.inference.bulk import networks
from zoo.inference.bulk.networks import Network
from zoo.inference.bulk.pipeline import Reader
from zoo.runs.searchable import calibration_of, index_place

SIDE = 96  # pixels of a picture in the gallery


@dataclass(frozen=True)
class Answered:
    """A photograph, its neighbours (id, distance, label, path), and its label or None."""

    photo: str | Path
    neighbours: list[dict[str, Any]]
    label: Any
    verdict: str

    def content(self) -> dict[str, Any]:
        return {**asdict(self), "photo": str(self.photo)}


class Searcher:
    """A network with an index of its embeddings; paths of records are relative to `folder`.

    Raises:
        ValueError: an index of another model or preprocessing, or a threshold below 0.
    """

    def __init__(
        self,
        network: Network,
        index: Index,
        threshold: float | None = None,
        folder: Path | None = None,
    ):
        check_same(index.preprocessing, network.preprocessing, f"The index {folder or ''}".strip())
        refuse_another(index.fingerprint, network.fingerprint, "The encoder")
        self.network, self.index, self.folder = network, index, folder
        if threshold is not None:
            given = number("--threshold", threshold, least=0)
            self.index.calibration = _by_hand(given, self.index.distance)

    @property
    def threshold(self) -> float | None:
        return self.index.calibration and self.index.calibration.threshold

    def answers(
        self,
        photos: Sequence[str | Path],
        images: np.ndarray,
        k: int,
        matcher: str = "nearest",
        filter: Filter | None = None,
        refine: Refinement | None = None,
    ) -> list[Answered]:
        """What is near to pictures `(B, H, W, C)` uint8, one of each name in `photos`."""
        made = {"refine": refine, "model": self.network.fingerprint}
        found = self.index.search(self.network(images), k, filter, **made)
        labels = matched(found, matcher, self.index.calibration).labels
        answers = []
        for row, photo in enumerate(photos):
            near = [
                {
                    "id": int(found.ids[row, rank]),
                    "distance": float(found.distances[row, rank]),
                    "label": found.labels[row, rank],
                    "path": file_of(found.metadata[row, rank].get("path"), self.folder),
                }
                for rank in np.flatnonzero(found.ids[row] >= 0)
            ]
            answers.append(Answered(photo, near, labels[row], self._verdict(labels[row], near)))
        return answers

    def _verdict(self, label, near: list[dict[str, Any]]) -> str:
        if not near:
            return "nothing to compare with"
        if _indistinct(near, self.index.distance):
            return f"no verdict: {len(near)} neighbors are equally far; has the model collapsed?"
        if label is not None:
            return str(label) + ("" if self.threshold is not None else " (no threshold is set)")
        if all(one["label"] is None for one in near):
            return "the neighbours have no labels"
        return f"no match: nothing labelled within {self.threshold:.4g}"


class PhotoSearch(Searcher):
    """A model with its index, for photographs in files.

    The options are those of `zoo.inference.bulk.networks.Source`: size, branch, pixels, resize, ...

    Raises:
        FileNotFoundError: no such model or index.
        ValueError: an index of another model, or a damaged one.
    """

    def __init__(
        self,
        model: str | Path,
        index: str | Path | None = None,
        *,
        threshold: float | None = None,
        **network_options: Any,
    ):
        place = index_place(model, index)
        loaded = Index.load(place)
        network = networks.load(networks.locate(model, **network_options))
        if threshold is None and loaded.calibration is None and loaded.keeps_distances:
            loaded.calibration = calibration_of(model, network.fingerprint, loaded.distance)
        super().__init__(network, loaded, threshold, place)

    def __call__(
        self,
        photos: list[Path],
        k: int,
        matcher: str,
        filter: dict[str, Any] | None,
        refine: Refinement | None = None,
    ) -> tuple[list[Answered], list[dict[str, str]]]:
        """The answers, and which photographs could not be read and why."""
        reader = Reader(Path(), self.network.preprocessing)
        read = [(photo, reader.read(str(photo.resolve()))) for photo in photos]
        skipped = [{"image": str(p), "reason": x} for p, x in read if isinstance(x, str)]
        good = [(photo, pixels) for photo, pixels in read if not isinstance(pixels, str)]
        if not good:
            return [], skipped
        names, images = [photo for photo, _ in good], np.stack([pixels for _, pixels in good])
        return self.answers(names, images, k, matcher, filter, refine), skipped

    def gallery(self, answers: list[Answered]):
        """A figure: each photograph and its neighbours."""
        from keras_metric import plots

        width = max(1, *(len(one.neighbours) for one in answers))
        blank = np.full((SIDE, SIDE, 3), 255, np.uint8)
        rows = [[thumbnail(near["path"]) for near in one.neighbours] for one in answers]
        near = [[*row, *[blank] * (width - len(row))] for row in rows]
        inside = np.full((len(answers), width), None)
        for row, one in enumerate(answers):
            for rank, neighbour in enumerate(one.neighbours):
                if self.threshold is not None:
                    inside[row, rank] = neighbour["distance"] <= self.threshold
        title = "nearest neighbours"
        if self.threshold is not None:
            title += f": green up to the threshold {self.threshold:.3g}, red beyond it"
        else:
            title += " (no threshold is set)"
        return plots.gallery(
            np.stack([thumbnail(str(one.photo)) for one in answers]),
            np.array(near),
            inside,
            captions=[Path(one.photo).name for one in answers],
            title=title,
        )


def _by_hand(threshold: float, distance: str) -> Calibration:
    return Calibration(threshold, distance, "threshold", threshold, {}, {}, 0.95, None, 0, 0)


def file_of(path: str | None, folder: Path | None) -> str | None:
    """The file that a record names, which an index has relative to its own folder."""
    return path if path is None or folder is None else os.path.normpath(folder.resolve() / path)


def _indistinct(near: list[dict[str, Any]], distance: str) -> bool:
    """Whether neighbors of several labels are equally far, up to rounding."""
    apart = [one["distance"] for one in near]
    labels = {one["label"] for one in near}
    unit = 1.0 if distance == "cosine" else max(apart)
    return len(labels) > 1 and max(apart) - min(apart) <= 1e-6 * unit


def thumbnail(file: str | None) -> np.ndarray:
    """The picture on white, `SIDE` pixels wide and high; a grey field where there is none."""
    try:
        return image_files.read(file or "", (SIDE, SIDE), resize="letterbox", fill=255)
    except ValueError:
        return np.full((SIDE, SIDE, 3), 200, np.uint8)

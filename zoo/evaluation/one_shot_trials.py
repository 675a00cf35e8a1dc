"""One-shot runs of an encoder and of baselines: each query is classified by the nearest drawing.

Lake, Salakhutdinov and Tenenbaum, Science 350, 2015: an error is a trial whose nearest drawing is
not of the query's character.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_metric import distances
from keras_metric.metrics import bootstrap_mean
from zoo.datasets.reading.ink import prepare
from zoo.datasets.sources.one_shot_runs import Run
from zoo.evaluation.protocols import embed, pixels
from zoo.progress import shown

INK = 127  # brighter pixels are ink


def modified_hausdorff(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`(A, H, W, 1)` and `(C, H, W, 1)` uint8, ink bright -> distances `(A, C)` in pixels.

        d(a, c) = max(mean over p in a of min over q in c of |p - q|, the same the other way round)

    Points are the pixels of ink, moved so that their mean is the origin. A drawing without ink is
    infinitely far from every other.

    Raises `ValueError` for pictures of another form.
    """
    for images in (first, second):
        if images.ndim != 4 or images.shape[-1] != 1 or images.dtype != np.uint8:
            raise ValueError(
                "These are not gray drawings. Expected: grey pictures (N, H, W, 1) of uint8. "
                f"Received: {images.dtype} {images.shape}."
            )
    rows, columns = _Points(first), _Points(second)
    found = np.full((len(first), len(second)), np.inf)
    for row, points in zip(rows.inked, rows.sets, strict=True):
        found[row, columns.inked] = columns.distances(points)
    return found


class _Points:
    """The centred points of many drawings in one array, one drawing after the other."""

    def __init__(self, images: np.ndarray):
        sets = [np.argwhere(image > INK).astype(np.float64) for image in images[..., 0]]
        self.inked = [number for number, points in enumerate(sets) if len(points)]
        self.sets = [sets[number] - sets[number].mean(0) for number in self.inked]
        self.counts = np.array([len(points) for points in self.sets])
        self.starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]]).astype(int)
        self.all = np.concatenate(self.sets) if self.sets else np.zeros((0, 2))

    def distances(self, points: np.ndarray) -> np.ndarray:
        """From one drawing `(P, 2)` to each that has ink."""
        if not self.sets:
            return np.zeros(0)
        squared = (points**2).sum(1)[:, None] + (self.all**2).sum(1) - 2 * points @ self.all.T
        there = np.minimum.reduceat(squared, self.starts, axis=1)
        back = np.add.reduceat(_root(squared.min(0)), self.starts) / self.counts
        return np.maximum(_root(there).mean(0), back)


def _root(squared: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(squared, 0))


Measure = Callable[[Run], np.ndarray]

SIDE = 28  # of the pictures whose pixels are compared


def by_encoder(encoder: keras.Model) -> Measure:
    """Distances `(Q, W)` of embeddings, of pictures prepared as the recipes prepare them.

    Raises `ValueError` for a model that takes other pictures or gives no vectors.
    """
    shape, output = encoder.input_shape, encoder.output_shape
    square = len(shape) == 4 and shape[1] is not None and shape[1] == shape[2] and shape[3] == 1
    if not square or len(output) != 2:
        raise ValueError(
            "The model cannot compare drawings. Expected: square grey pictures of a fixed size in, "
            f"(B, S, S, 1), and vectors out, (B, D). Received: {shape} in, {output} out."
        )

    def measure(run: Run) -> np.ndarray:
        queries, support = (
            embed(encoder, prepare(part, shape[1])) for part in (run.queries, run.support)
        )
        return np.asarray(distances.euclidean(queries, support))

    return measure


def by_pixels(run: Run) -> np.ndarray:
    """Euclidean distances of the pixels, pictures centered, 28 x 28."""
    queries, support = (pixels(prepare(part, SIDE)) for part in (run.queries, run.support))
    return np.asarray(distances.euclidean(queries, support))


def by_ink(run: Run) -> np.ndarray:
    """Modified Hausdorff distances of the drawings as they are."""
    return modified_hausdorff(run.queries, run.support)


BASELINES: Mapping[str, Measure] = {"raw pixels": by_pixels, "modified Hausdorff": by_ink}


def examine(runs: Sequence[Run], measures: Mapping[str, Measure]) -> dict[str, Any]:
    """Errors in percent of each measure: over all trials, by alphabet, by run.

    Each row has a 95 % bootstrap interval over runs, since the trials of a run share its drawers. A
    tie between the correct drawing and another counts as an error.
    """
    wrong: dict[str, list[np.ndarray]] = {name: [] for name in measures}
    for run in shown(runs, "one-shot runs"):
        for name, measure in measures.items():
            wrong[name].append(_wrong(measure(run), run.answers))
    every = range(len(runs))
    alphabets = sorted({run.group for run in runs if run.group is not None})
    return {
        "runs": len(runs),
        "trials": sum(len(run.queries) for run in runs),
        "ways": sorted({len(run.support) for run in runs}),
        "error %": {name: _summary(wrong[name], every) for name in measures},
        "by alphabet": {
            alphabet: {
                name: _summary(wrong[name], [i for i in every if runs[i].group == alphabet])
                for name in measures
            }
            for alphabet in alphabets
        },
        "by run": {
            run.name: {name: _percent(wrong[name][number]) for name in measures}
            for number, run in enumerate(runs)
        },
    }


def _wrong(apart: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """`(Q,)` whether another drawing is as near as the right one."""
    rows = np.arange(len(apart))
    own = apart[rows, answers]
    others = np.array(apart)
    others[rows, answers] = np.inf
    return ~(own < others.min(1))


def _summary(wrong: Sequence[np.ndarray], chosen: Sequence[int]) -> dict[str, float]:
    trials = np.concatenate([wrong[number] for number in chosen])
    runs = np.repeat(list(chosen), [len(wrong[number]) for number in chosen])
    low, high = bootstrap_mean(100.0 * trials, runs)
    return {"error": _percent(trials), "low": round(low, 2), "high": round(high, 2)}


def _percent(wrong: np.ndarray) -> float:
    return round(100 * float(wrong.mean()), 2)

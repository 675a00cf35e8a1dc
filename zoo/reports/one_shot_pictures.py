"""One-shot errors of an encoder, and the maps that show why."""

import keras
import numpy as np

from keras_metric import distances, plots
from keras_metric.cam import SimilarityCAM
from zoo.datasets.images import Images
from zoo.datasets.sources.one_shot_runs import drawn_runs
from zoo.evaluation.protocols import embed
from zoo.training.experiments import Picture

SHOWN = 8
CAPTION = (
    "Wrong answers: the query, the drawing of the same character, and the drawing that was nearer; "
    "then what each position of them adds (SimilarityCAM). In the query red speaks for the right "
    "drawing and blue for the wrong one; in the others red is what makes them like the query."
)


def errors(encoder: keras.Model, images: Images, *, runs: int = 60) -> dict[str, Picture]:
    """The first errors in runs drawn from the images, at most one a run; none draws no picture."""
    drawn = drawn_runs(images, runs)
    embedded = zip(
        drawn,
        _embedded(encoder, [run.queries for run in drawn]),
        _embedded(encoder, [run.support for run in drawn]),
        strict=True,
    )
    found = [one for parts in embedded if (one := _error(*parts)) is not None]
    if not found:
        return {}
    titles, triplets = zip(*found[:SHOWN], strict=True)
    anchor, right, wrong = (np.stack(part) for part in zip(*triplets, strict=True))
    maps = SimilarityCAM(encoder).triplet(anchor, right, wrong)
    beside = np.concatenate([anchor, right, wrong], axis=2)
    heat = np.concatenate([_scaled(maps.anchor), _scaled(maps.positive), _scaled(maps.negative)], 2)
    figure = plots.comparison(beside, {"query, right, nearer": heat}, titles=titles, signed=True)
    return {"errors.png": Picture(figure, CAPTION)}


def _embedded(encoder: keras.Model, groups: list[np.ndarray]) -> list[np.ndarray]:
    """Embeddings of several groups of images, from one pass."""
    ends = np.cumsum([len(group) for group in groups])[:-1]
    return np.split(embed(encoder, np.concatenate(groups)), ends)


def _error(run, queries: np.ndarray, support: np.ndarray):
    """Alphabet and (query, right drawing, nearer drawing) of a run's first error, or None."""
    nearest = np.asarray(distances.euclidean(queries, support)).argmin(1)
    wrong = np.flatnonzero(nearest != run.answers)
    if not len(wrong):
        return None
    query = wrong[0]
    drawings = run.queries[query], run.support[run.answers[query]], run.support[nearest[query]]
    return run.group.partition("_(")[0], drawings


def _scaled(maps: np.ndarray) -> np.ndarray:
    """Each map over its own largest magnitude, so that faint ones are seen beside strong ones."""
    return maps / np.maximum(np.abs(maps).max(axis=(1, 2), keepdims=True), 1e-12)

"""Vectors with the names of their classes: measured as they are, by a vote, and after LDA."""

from typing import NamedTuple

import numpy as np

from keras_metric import metrics
from keras_metric.retrieval import Index, Refinement
from zoo.datasets.reading._extras import need

VOTERS = 20
SHRINKAGE = 0.2
MEASURES = ("recall@1", "recall@5", "map@r", "r_precision", "mrr")


class Vectors(NamedTuple):
    """Vectors `(M, D)` and the names of their classes `(M,)`."""

    vectors: np.ndarray
    names: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        return np.unique(self.names.astype(str), return_inverse=True)[1]

    def of_unit_length(self) -> "Vectors":
        lengths = np.linalg.norm(self.vectors, axis=1, keepdims=True)
        return Vectors(self.vectors / np.maximum(lengths, 1e-12), self.names)


def results_of(known: Vectors, asked: Vectors) -> dict[str, float]:
    """Retrieval among the vectors asked for; a vote of known ones where these have all classes."""
    found = metrics.retrieval(asked.vectors, asked.labels, k=(1, min(5, len(asked.names) - 1)))
    results = {name: round(float(found[name]), 6) for name in MEASURES if name in found}
    return {**results, **_voted(known, asked)}


def refined_results(known: Vectors, asked: Vectors, refine: Refinement) -> dict[str, float]:
    """The same measures, but for the reciprocal rank, of refined searches."""
    found = searched_results(Index(distance="euclidean"), asked, refine)
    return {**found, **_voted(known, asked, refine)}


def searched_results(
    index: Index, asked: Vectors, refine: Refinement | None = None
) -> dict[str, float]:
    """Retrieval of each vector among all others, by searches of an empty index that gets them.

    Unlike in `results_of`, equally near vectors are ranked as the index ranks them.
    """
    labels, ids = asked.labels, index.add(asked.vectors)
    relevant = np.bincount(labels)[labels] - 1
    depth = min(max(int(relevant.max()), 5), len(labels) - 1)
    found = index.search(asked.vectors, depth, refine=refine, exclude=ids)
    hits, ranks = labels[found.ids] == labels[:, None], 1 + np.arange(depth)
    within = hits & (ranks <= relevant[:, None])
    share = np.maximum(relevant, 1)
    scores = {
        **{f"recall@{k}": hits[:, :k].any(axis=1) for k in (1, min(5, depth))},
        "map@r": (within * hits.cumsum(axis=1) / ranks).sum(axis=1) / share,
        "r_precision": within.sum(axis=1) / share,
    }
    return {name: round(float(scores[name][relevant > 0].mean()), 6) for name in scores}


def vote(
    known: Vectors, asked: Vectors, k: int = VOTERS, refine: Refinement | None = None
) -> np.ndarray:
    """The class that most of the k nearest known vectors have, of each vector asked for."""
    index = Index(distance="euclidean")
    index.add(known.vectors, known.names.tolist())
    k = min(k, len(known.names))
    return np.array(index.match(asked.vectors, k, "vote", refine=refine).labels, object)


def _voted(known: Vectors, asked: Vectors, refine: Refinement | None = None) -> dict[str, float]:
    """The accuracy of the vote, where the known ones have all classes."""
    if not set(asked.names) <= set(known.names):
        return {}
    right = vote(known, asked, refine=refine) == asked.names
    return {"accuracy": round(float(right.mean()), 6)}


def lda(known: Vectors, asked: Vectors) -> tuple[Vectors, Vectors] | None:
    """Both in the directions that tell the known classes apart, of unit length.

    Linear discriminant analysis with the covariance shrunk by 0.2 towards a multiple of the
    identity. Fisher 1936; Ledoit and Wolf 2004. None where no class has two vectors.
    """
    analysis = need("sklearn.discriminant_analysis", extra="eval", purpose="LDA")
    classes, sizes = np.unique(known.names.astype(str), return_counts=True)
    if len(classes) < 2 or sizes.max() < 2:
        return None
    model = analysis.LinearDiscriminantAnalysis(solver="eigen", shrinkage=SHRINKAGE)
    model.fit(known.vectors, known.names.astype(str))
    return _projected(model, known), _projected(model, asked)


def _projected(model, one: Vectors) -> Vectors:
    x = model.transform(one.vectors).astype(np.float32)
    return Vectors(x, one.names).of_unit_length()

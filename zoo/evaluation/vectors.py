"""Vectors with the names of their classes: measured as they are, by a vote, and after LDA."""

from typing import NamedTuple

import numpy as np

from keras_metric import metrics
from keras_metric.retrieval import Index
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


def results_of(known: Vectors, asked: Vectors) -> dict[str, float]:
    """Retrieval among the vectors asked for; a vote of known ones where these have all classes."""
    found = metrics.retrieval(asked.vectors, asked.labels, k=(1, min(5, len(asked.names) - 1)))
    results = {name: round(float(found[name]), 6) for name in MEASURES if name in found}
    if set(asked.names) <= set(known.names):
        right = vote(known, asked) == asked.names
        results["accuracy"] = round(float(right.mean()), 6)
    return results


def vote(known: Vectors, asked: Vectors, k: int = VOTERS) -> np.ndarray:
    """The class that most of the k nearest known vectors have, of each vector asked for."""
    index = Index(distance="euclidean")
    index.add(known.vectors, known.names.tolist())
    found = index.match(asked.vectors, min(k, len(known.names)), matcher="vote")
    return np.array(found.labels, object)


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
    return Vectors(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12), one.names)

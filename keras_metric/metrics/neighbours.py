"""Retrieval measures: do the nearest candidates of a query have its class?

Ties, lone queries and self-matches are handled in one way everywhere:

- a query never finds itself: without a gallery, query i is excluded from its own candidates;
- an irrelevant candidate at the same distance ranks first (so a collapsed embedding, all points
  equal, has the lowest score instead of a random one);
- a query without a relevant candidate is excluded from the mean and counted in `lone`.

Distances are computed in float32, or float64 for float64 embeddings. Blocks of queries bound the
memory and change no value.
"""

from collections.abc import Callable, Sequence

import numpy as np

from keras_metric.batches.classes import integer_labels
from keras_metric.metrics.intervals import bootstrap_mean
from keras_metric.metrics.measures import AT_ANY_RANK, AT_K, AT_R, graded_ndcg, ndcg
from keras_metric.metrics.multi_label import LabelSets, label_rows, ranked_by_overlap, set_numbers
from keras_metric.metrics.ranking import Gallery, ranked_queries

__all__ = ["Scores", "retrieval"]

BLOCK = 2**24  # distances held at once: 64 MiB in float32


class Scores(dict):
    """Measures by name, each the mean over the queries that have a relevant candidate.

    Attributes:
        per_query: name -> (Q,) float64, NaN for a lone query.
        labels: (Q,) the labels of the queries; with `multi_label` the number of the set of labels.
        lone: number of queries without a relevant candidate.
    """

    def __init__(self, per_query: dict[str, np.ndarray], labels: np.ndarray):
        self.per_query, self.labels = per_query, labels
        known = ~np.isnan(next(iter(per_query.values())))
        self.lone = int((~known).sum())
        super().__init__({name: float(v[known].mean()) for name, v in per_query.items()})

    def interval(
        self, name: str, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
    ) -> tuple[float, float]:
        """Bootstrap interval of one measure: identities are resampled, the gallery is fixed."""
        return bootstrap_mean(
            self.per_query[name],
            self.labels,
            confidence=confidence,
            resamples=resamples,
            seed=seed,
        )


def retrieval(
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    k: int | Sequence[int] = (1, 5, 10),
    multi_label: bool = False,
    distance: str | Callable = "euclidean",
    block: int = BLOCK,
) -> Scores:
    """All retrieval measures in one pass: queries (Q, D) against a gallery (C, D).

        recall@k precision@k map@k ndcg@k for each k, map@r r_precision mrr

    The formulas are those of the functions of the same names. Without a gallery the other
    queries are the candidates.

    Args:
        labels: integers (Q,), of any size. gallery_labels: (C,).
        multi_label: labels are (Q, L) and (C, L) rows of 0 and 1. A candidate is relevant if it
            shares at least one label; the gain of ndcg@k is the number of shared labels.
        k: ranks, each at most the number of candidates.
        distance: a name or function of `keras_metric.distances`.
        block: number of distances in memory at once; it changes time and memory, never values.

    Raises:
        ValueError: no query has a relevant candidate, embeddings have NaN, or shapes do not match.
    """
    ks = (k,) if isinstance(k, int | np.integer) else tuple(k)
    names = [f"{name}@{rank}" for rank in ks for name in AT_K] + [*AT_R, *AT_ANY_RANK]
    options = {"multi_label": multi_label, "distance": distance, "block": block}
    return scores(names, embeddings, labels, gallery, gallery_labels, **options)


def scores(
    names: Sequence[str],
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    multi_label: bool = False,
    distance: str | Callable = "euclidean",
    block: int = BLOCK,
) -> Scores:
    """The measures of these names ("recall@5", "map@r", ...) and no others."""
    check_gallery(gallery, gallery_labels)
    itself = gallery is None
    given = (embeddings, labels) if itself else (gallery, gallery_labels)
    candidates = (LabelSets if multi_label else Gallery)(*given)
    measures = {name: _measure(name, len(candidates) - itself) for name in names}
    options = {"itself": itself, "distance": distance, "block": block}
    if multi_label:
        parts = ranked_by_overlap(embeddings, labels, candidates, **options)
        labels = set_numbers(labels)
    else:
        labels = integer_labels(labels)
        depth, to_r = max(k for _, k in measures.values()), any(name in AT_R for name in names)
        parts = ranked_queries(embeddings, labels, candidates, depth=depth, to_r=to_r, **options)
    per_query = {name: np.full(len(labels), np.nan) for name in names}
    some = False
    for part in parts:
        some = some or len(part.rows) > 0
        for name, (formula, k) in measures.items():
            if part.gains is not None and formula is ndcg:
                values = graded_ndcg(part.gains, k, np)
            else:
                values = formula(part.hits, part.relevant, part.first, k, np)
            per_query[name][part.rows] = values
    if not some:
        raise ValueError(
            "No query has a candidate of its class. Expected: at least one query with a "
            f"candidate of its class. Received: {len(labels)} queries and {len(candidates)} "
            "candidates, none shared."
        )
    return Scores(per_query, labels)


def checked_measures(
    labels,
    gallery_labels=None,
    *,
    k: int | Sequence[int],
    names: Sequence[str] | None = None,
    multi_label: bool = False,
) -> list[str]:
    """The names of the measures, all at the ranks `k` by default, that labels like these can have.

    Raises:
        ValueError: an unknown measure, a rank beyond the candidates, or nothing to find.
    """
    read = label_rows if multi_label else integer_labels
    labels, itself = read(labels), gallery_labels is None
    others = labels if itself else read(gallery_labels)
    ks = (k,) if isinstance(k, int | np.integer) else tuple(k)
    every = [f"{name}@{rank}" for rank in ks for name in AT_K] + [*AT_R, *AT_ANY_RANK]
    names = every if names is None else [names] if isinstance(names, str) else list(names)
    for name in names:
        _measure(name, len(others) - itself)
    if multi_label:
        some = bool(names) and ((labels @ others.sum(axis=0)) > itself * labels.sum(axis=1)).any()
    else:
        values, counts = np.unique(others, return_counts=True)
        some = bool(names) and np.isin(labels, values[counts > itself]).any()
    if not some:
        raise ValueError(
            "There is nothing to measure. Expected: a measure, and at least one query with a "
            f"candidate of its class. Received: {len(names)} measures, {len(labels)} queries and "
            f"{len(others)} candidates, none shared."
        )
    return names


def check_gallery(gallery, gallery_labels) -> None:
    if (gallery is None) != (gallery_labels is None):
        raise ValueError(
            "A gallery needs labels. Expected: gallery and gallery_labels, both or neither. "
            f"Received: only {'gallery_labels' if gallery is None else 'gallery'}."
        )


def _measure(name: str, candidates: int) -> tuple[Callable, int]:
    """Formula and rank of a measure's name."""
    if name in AT_R or name in AT_ANY_RANK:
        return {**AT_R, **AT_ANY_RANK}[name], 1
    family, _, rank = name.partition("@")
    if family not in AT_K or not rank.isdigit():
        known = [f"{family}@k" for family in AT_K] + [*AT_R, *AT_ANY_RANK]
        raise ValueError(f"Unknown measure. Expected: one of {known}. Received: {name!r}.")
    if not 1 <= int(rank) <= candidates:
        raise ValueError(
            f"k is out of range. Expected: k from 1 to {candidates}. Received: k={rank}."
        )
    return AT_K[family], int(rank)

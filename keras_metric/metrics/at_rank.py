"""One retrieval measure at a time. Ties, lone queries and self-matches are as in `retrieval`.

Every function takes queries (Q, D) with integer labels (Q,), and a gallery (C, D) with labels (C,)
or none; `hit_i` is 1 when the candidate at rank i has the query's class, R is the number of all
such. With `multi_label` the labels are rows of 0 and 1, (Q, L) and (C, L), and `hit_i` is 1 when
the two share a label.
"""

from collections.abc import Callable

from keras_metric.metrics.neighbours import BLOCK, scores

__all__ = [
    "map_at_k",
    "map_at_r",
    "mean_reciprocal_rank",
    "ndcg_at_k",
    "precision_at_k",
    "r_precision",
    "recall_at_k",
]


def recall_at_k(
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    k: int = 1,
    multi_label: bool = False,
    distance: str | Callable = "euclidean",
    block: int = BLOCK,
) -> float:
    """Share of queries with a candidate of their class among the k nearest (also CMC@k).

    Jegou et al., "Product Quantization for Nearest Neighbor Search", 2011; Oh Song et al., "Deep
    Metric Learning via Lifted Structured Feature Embedding", 2016. arXiv:1511.06452, section 5
    """
    given = (embeddings, labels, gallery, gallery_labels)
    options = {"multi_label": multi_label, "distance": distance, "block": block}
    return scores([f"recall@{k}"], *given, **options)[f"recall@{k}"]


def precision_at_k(
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    k: int = 1,
    multi_label: bool = False,
    distance: str | Callable = "euclidean",
    block: int = BLOCK,
) -> float:
    """sum_{i <= k} hit_i / k, mean over queries; below 1 for every ranking where R < k."""
    given = (embeddings, labels, gallery, gallery_labels)
    options = {"multi_label": multi_label, "distance": distance, "block": block}
    return scores([f"precision@{k}"], *given, **options)[f"precision@{k}"]


def map_at_k(
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    k: int = 10,
    multi_label: bool = False,
    distance: str | Callable = "euclidean",
    block: int = BLOCK,
) -> float:
    """1 / min(k, R) · sum_{i <= k} hit_i · precision@i, mean over queries.

    With k = C it is mean average precision, scikit-learn's label ranking average precision.
    """
    given = (embeddings, labels, gallery, gallery_labels)
    options = {"multi_label": multi_label, "distance": distance, "block": block}
    return scores([f"map@{k}"], *given, **options)[f"map@{k}"]


def ndcg_at_k(
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    k: int = 10,
    multi_label: bool = False,
    distance: str | Callable = "euclidean",
    block: int = BLOCK,
) -> float:
    """sum_{i <= k} hit_i / log2(i + 1) over the same sum for a perfect ranking, mean over queries.

    With `multi_label` it is graded: hit_i is the number of shared labels.

    Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.
    """
    given = (embeddings, labels, gallery, gallery_labels)
    options = {"multi_label": multi_label, "distance": distance, "block": block}
    return scores([f"ndcg@{k}"], *given, **options)[f"ndcg@{k}"]


def map_at_r(
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    multi_label: bool = False,
    distance: str | Callable = "euclidean",
    block: int = BLOCK,
) -> float:
    """1 / R · sum_{i <= R} hit_i · precision@i, mean over queries.

    Musgrave et al., "A Metric Learning Reality Check", 2020. arXiv:2003.08505, section 3.2
    """
    given = (embeddings, labels, gallery, gallery_labels)
    options = {"multi_label": multi_label, "distance": distance, "block": block}
    return scores(["map@r"], *given, **options)["map@r"]


def r_precision(
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    multi_label: bool = False,
    distance: str | Callable = "euclidean",
    block: int = BLOCK,
) -> float:
    """sum_{i <= R} hit_i / R, mean over queries."""
    given = (embeddings, labels, gallery, gallery_labels)
    options = {"multi_label": multi_label, "distance": distance, "block": block}
    return scores(["r_precision"], *given, **options)["r_precision"]


def mean_reciprocal_rank(
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    multi_label: bool = False,
    distance: str | Callable = "euclidean",
    block: int = BLOCK,
) -> float:
    """1 / (rank of the nearest candidate of the query's class), mean over queries; no cut-off."""
    given = (embeddings, labels, gallery, gallery_labels)
    options = {"multi_label": multi_label, "distance": distance, "block": block}
    return scores(["mrr"], *given, **options)["mrr"]

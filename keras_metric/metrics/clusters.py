"""Clustering: do clusters found without labels match the classes?"""

import numpy as np

from keras_metric.batches.classes import integer_labels
from keras_metric.metrics.ranking import check_pairing, embedding_matrix

__all__ = ["clustering"]


def clustering(
    embeddings, labels, *, clusters: int | None = None, restarts: int = 1, seed: int = 0
) -> dict[str, float]:
    """k-means on embeddings (N, D), compared with the classes: `nmi` and `ami`.

    nmi: mutual information divided by the arithmetic mean of both entropies. ami: the same adjusted
    for chance, so that many small clusters are no advantage. Both from scikit-learn.

    Args:
        clusters: by default the number of classes.
        restarts: k-means runs from different starting points; the one with the least inertia
            counts.

    Raises:
        ImportError: scikit-learn is missing.
        ValueError: more clusters than embeddings, or fewer than one.

    Vinh et al., "Information Theoretic Measures for Clusterings Comparison", 2010.
    """
    try:
        from sklearn.cluster import KMeans
        from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score
    except ImportError as error:
        raise ImportError(
            "Clustering needs scikit-learn. Expected: "
            'pip install "keras-metric[eval]". Received: no module sklearn.'
        ) from error
    embeddings, labels = embedding_matrix(embeddings), integer_labels(labels)
    check_pairing(embeddings, labels)
    clusters = len(np.unique(labels)) if clusters is None else clusters
    if not 1 <= clusters <= len(labels):
        raise ValueError(
            "The clusters cannot be formed. "
            f"Expected: from 1 to {len(labels)}. Received: clusters={clusters}."
        )
    found = KMeans(clusters, n_init=restarts, random_state=seed).fit_predict(embeddings)
    return {
        "nmi": float(normalized_mutual_info_score(labels, found)),
        "ami": float(adjusted_mutual_info_score(labels, found)),
    }

"""Query expansion: a query and its nearest records, averaged, are asked again."""

import numpy as np

from keras_metric.arguments import number
from keras_metric.metrics.ranking import check_widths, embedding_matrix, unit_rows


def expanded(queries, neighbors, alpha: float = 3.0) -> np.ndarray:
    """The weighted mean of each query and its neighbors, (Q, D).

        w_i = max(0, cos(q, v_i))^alpha        q' = (q + sum_i w_i v_i) / (1 + sum_i w_i)

    `alpha=0` is the average query expansion of Chum et al., "Total recall", ICCV 2007, section 3;
    a larger alpha is that of Radenović, Tolias, Chum, "Fine-tuning CNN image retrieval with no
    human annotation", PAMI 2018, arXiv:1711.02512, section 3.3. A neighbor of zeros counts for
    nothing.

    Args:
        queries: embeddings (Q, D).
        neighbors: the embeddings of the nearest records of each query, (Q, K, D).

    Raises:
        ValueError: shapes that do not match, NaN or infinity, or alpha below 0.
    """
    alpha, queries = number("alpha", alpha, least=0), embedding_matrix(queries)
    neighbors = np.asarray(neighbors)
    if neighbors.ndim != 3 or len(neighbors) != len(queries) or not neighbors.size:
        raise ValueError(
            "Each query needs its neighbors. Expected: embeddings of shape "
            f"({len(queries)}, K, {queries.shape[1]}). Received: {neighbors.shape}."
        )
    flat = embedding_matrix(neighbors.reshape(-1, neighbors.shape[2]))
    check_widths(queries, flat)
    units = unit_rows(flat).reshape(neighbors.shape)
    similarities = np.einsum("qd,qkd->qk", unit_rows(queries), units)
    weights = np.maximum(similarities, 0) ** alpha * units.any(axis=2)
    total = queries + np.einsum("qk,qkd->qd", weights, flat.reshape(neighbors.shape))
    return total / (1 + weights.sum(axis=1, keepdims=True))

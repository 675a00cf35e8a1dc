"""Distance matrices `(B, D) -> (B, B)` of a batch with itself."""

from collections.abc import Callable

from keras import ops

from keras_metric import distances

__all__ = ["angular_distance", "pairwise_distance"]


def pairwise_distance(feature, squared: bool = False):
    """|f_i - f_j|, or its square; exactly 0 on the diagonal, with gradient 0 where two coincide."""
    distance = distances.squared_euclidean if squared else distances.euclidean
    matrix = distance(feature, feature)
    return ops.where(ops.eye(ops.shape(matrix)[0], dtype="bool"), 0, matrix)


def angular_distance(feature):
    """1 - cos(f_i, f_j), in [0, 2]."""
    return distances.cosine(feature, feature)


_BY_NAME = {
    "L2": pairwise_distance,
    "squared-L2": lambda feature: pairwise_distance(feature, squared=True),
    "angular": angular_distance,
}


def matrix_of(embeddings, distance_metric: str | Callable):
    """The matrix of a distance's name in TF Addons, or of a function `(B, D) -> (B, B)`.

    Raises ValueError for an unknown name, or embeddings that are not (B, D).
    """
    embeddings = distances.precise(embeddings)
    if len(embeddings.shape) != 2:
        raise ValueError(
            "Embeddings have the wrong shape. Expected: one row a sample, (B, D). "
            f"Received: shape {tuple(embeddings.shape)}"
        )
    return check_metric(distance_metric)(embeddings)


def check_metric(distance_metric: str | Callable) -> Callable:
    """The function of that name, or the function itself."""
    if callable(distance_metric):
        return distance_metric
    if distance_metric in _BY_NAME:
        return _BY_NAME[distance_metric]
    raise ValueError(
        f"Unknown distance_metric. Expected: one of {', '.join(_BY_NAME)}, or a function "
        f"(B, D) -> (B, B). Received: distance_metric={distance_metric!r}"
    )

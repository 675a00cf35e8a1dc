"""Distances `(A, D), (C, D) -> (A, C)`: smaller is nearer, always.

Every distance computes in at least float32, is never negative (`negative_dot` alone may be), has a
finite gradient where two points coincide and at zero vectors, and stays finite for huge norms.

The pairwise forms of `euclidean` and `squared_euclidean` expand |a - c|^2 into a matrix product, so
they resolve pairs nearer than about 3e-4 times their norm (float32) only roughly. `paired` compares
row with row, (B, D), (B, D) -> (B,), by differences, and is exact there.
"""

import difflib
from collections.abc import Callable

from keras import ops

from keras_metric.distances import pairwise, rowwise
from keras_metric.distances.norms import precise, root, unit
from keras_metric.distances.pairwise import (
    angular,
    cosine,
    euclidean,
    manhattan,
    negative_dot,
    signal_to_noise,
    squared_euclidean,
)

__all__ = [
    "angular",
    "cosine",
    "euclidean",
    "get",
    "is_named",
    "manhattan",
    "names",
    "negative_dot",
    "paired",
    "precise",
    "ranking",
    "root",
    "signal_to_noise",
    "squared_euclidean",
    "unit",
]

_PAIRED = {
    angular: rowwise.angular,
    cosine: rowwise.cosine,
    euclidean: rowwise.euclidean,
    manhattan: rowwise.manhattan,
    negative_dot: rowwise.negative_dot,
    signal_to_noise: rowwise.signal_to_noise,
    squared_euclidean: rowwise.squared_euclidean,
}
_BY_NAME = {distance.__name__: distance for distance in _PAIRED}


def names() -> list[str]:
    """The names `get` knows."""
    return sorted(_BY_NAME)


def is_named(distance: Callable) -> bool:
    """Whether `get` knows this function by its name."""
    return _BY_NAME.get(getattr(distance, "__name__", None)) is distance


def get(identifier: str | Callable) -> Callable:
    """The distance of that name, or the callable itself."""
    if callable(identifier):
        return identifier
    if identifier in _BY_NAME:
        return _BY_NAME[identifier]
    nearest = difflib.get_close_matches(str(identifier), _BY_NAME, n=1, cutoff=0.4)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    raise ValueError(
        f"Unknown distance. Expected one of {', '.join(names())}, or a function "
        f"(A, D), (C, D) -> (A, C). Received: distance={identifier!r}{hint}."
    )


def paired(identifier: str | Callable) -> Callable:
    """The same distance between row and row: (B, D), (B, D) -> (B,), exact near 0.

    A callable of one's own is evaluated on each pair alone, through its pairwise form.
    """
    distance = get(identifier)
    if distance in _PAIRED:
        return _PAIRED[distance]

    def row_by_row(a, b):
        a, b = precise(a), precise(b)
        return ops.vectorized_map(lambda pair: distance(pair[0][None], pair[1][None])[0, 0], (a, b))

    return row_by_row


def ranking(identifier: str | Callable) -> Callable:
    """(A, D), (C, D) -> (A, C): orders the candidates of an anchor as the distance does, for less.

    The numbers of different anchors do not compare.
    """
    distance = get(identifier)
    return _RANKING.get(distance, distance)


_RANKING = {
    angular: pairwise.rank_by_cosines,
    cosine: pairwise.rank_by_cosines,
    euclidean: pairwise.rank_by_squares,
    squared_euclidean: pairwise.rank_by_squares,
}

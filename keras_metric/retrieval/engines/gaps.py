"""How far a query is from what was found, computed from the two vectors alone.

Engines multiply whole blocks, and the last digits of a product depend on how a block is cut: on how
many queries come together, and on where a vector lies. A gap is computed again for each pair, in
float64 and in one order, so equal vectors are equally far and nothing else has a say.

    gap(q, v) = |q - v|^2       for cosine of unit vectors: twice the distance, 2 for a zero vector
"""

import numpy as np

BLOCK = 2**21  # numbers held at once


def gaps(
    queries: np.ndarray, vectors: np.ndarray, slots: np.ndarray, by_product: bool
) -> np.ndarray:
    """(Q, k) float64: of queries (Q, D) from the vectors in `slots` (Q, k); infinity for -1."""
    found = np.full(slots.shape, np.inf)
    width = max(1, slots.shape[1] * vectors.shape[1])
    height = max(1, BLOCK // width)
    for start in range(0, len(queries), height):
        rows = slice(start, start + height)
        found[rows] = gaps_of(queries[rows], vectors[slots[rows]], by_product)
    found[slots < 0] = np.inf
    return found


def gaps_of(queries: np.ndarray, neighbours: np.ndarray, by_product: bool) -> np.ndarray:
    """(Q, k) float64: of queries (Q, D) from their neighbours (Q, k, D)."""
    apart = neighbours - queries[:, None].astype(np.float64)
    found = np.square(apart, out=apart).sum(axis=-1)
    if by_product:
        found[~neighbours.any(axis=-1)] = 2
        found[~queries.any(axis=-1)] = 2
    return found


def nearest_first(apart: np.ndarray, slots: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaps and slots of the k nearest, by gap, then by slot; infinity and -1 where none is left."""
    missing = max(0, k - slots.shape[1])
    if missing:
        apart = np.pad(apart, ((0, 0), (0, missing)), constant_values=np.inf)
        slots = np.pad(slots, ((0, 0), (0, missing)), constant_values=-1)
    order = np.lexsort((slots, apart), axis=-1)[:, :k]
    return np.take_along_axis(apart, order, axis=1), np.take_along_axis(slots, order, axis=1)


def squared_lengths(rows: np.ndarray) -> np.ndarray:
    """|row|^2 (N,), in float64."""
    return np.einsum("nd,nd->n", rows, rows, dtype=np.float64)


def rounding(queries: np.ndarray, longest: float) -> np.ndarray:
    """How far (Q,) a squared difference made of float32 products may be from the true one.

    Rounding errors of D sums grow as the square root of D (Higham and Mary, "A new approach to
    probabilistic rounding error analysis", SIAM J. Sci. Comput. 41, 2019); four times that, and
    what float32 cannot hold at all.
    """
    width = queries.shape[1]
    share = 4 * (4 + np.sqrt(width)) * np.finfo(np.float32).eps
    return share * (squared_lengths(queries) + longest) + width * np.finfo(np.float32).tiny

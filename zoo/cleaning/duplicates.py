"""Photographs that show the same picture: equal files, and copies that were changed a little.

Neighbors of the embeddings are candidates (k of each photograph, so the work grows with N k, not
N^2). Two thumbnails of a candidate pair are then laid over one another: mirrored or not, and as if
either were a piece of the other. The pair is one picture if they correlate,

    r(a, b) = max over warps w of  <z(w(a)), z(b)>      z(x) = (x - mean x) / |x - mean x|

which is 1 for equal pictures and does not change with brightness or contrast.
"""

from dataclasses import dataclass

import numpy as np

SIDE = 32  # pixels of a thumbnail
ZOOMS = (0.95, 0.9)  # a cropped copy shows this share of each side, or more
COARSE = (0.0, 0.5, 1.0)  # where the crop may lie: at the start, in the middle, at the end
FINE = (0.0, 0.25, 0.5, 0.75, 1.0)
WORTH = 0.05  # a pair whose coarse correlation is this near to the bar is laid over finely
LEAST = 0.98  # correlation of two versions of one picture; chosen in benchmarks/cleaning.py
CLOSE = 0.7  # cosine similarity below which no pair is looked at
CHUNK = 128  # pairs that are compared at once


@dataclass(frozen=True)
class Pair:
    """Two photographs by their row, the earlier one first, and how well they correlate."""

    first: int
    second: int
    correlation: float
    exact: bool


def find_pairs(
    ids: np.ndarray,
    distances: np.ndarray,
    thumbnails: np.ndarray,
    digests: list[str],
    *,
    least: float = LEAST,
) -> list[Pair]:
    """All pairs among the candidates that show one picture, the most alike first.

    Args:
        ids, distances: (N, k), the nearest of each photograph by cosine distance; -1 for none.
        thumbnails: (N, S, S) uint8, gray.
        digests: of the files; photographs with equal ones are pairs without being compared.
        least: correlation from which on two pictures are one.
    """
    pairs = dict.fromkeys(_equal(digests), 1.0)
    exact = set(pairs)
    near = [pair for pair in _near(ids, distances) if pair not in exact]
    for shifts, bar in ((COARSE, least - WORTH), (FINE, least)):
        values = _correlated(thumbnails, near, shifts)
        near = [pair for pair, value in zip(near, values, strict=True) if value >= bar]
        if shifts is FINE:
            pairs |= dict(zip(near, values[values >= bar].tolist(), strict=True))
    found = [Pair(*pair, value, pair in exact) for pair, value in pairs.items()]
    return sorted(found, key=lambda pair: (-pair.exact, -pair.correlation, pair.first, pair.second))


def groups_of(pairs: list[Pair], count: int) -> list[list[int]]:
    """The photographs that pairs join, directly or through others; rows in order."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = [pair.first for pair in pairs], [pair.second for pair in pairs]
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(count, count))
    _, group = connected_components(graph, directed=False)
    joined = np.unique(group[rows])
    return [np.flatnonzero(group == one).tolist() for one in joined]


def _equal(digests: list[str]) -> list[tuple[int, int]]:
    """Each photograph with the first one of the same digest."""
    first: dict[str, int] = {}
    found = [(first.setdefault(digest, row), row) for row, digest in enumerate(digests)]
    return [pair for pair in found if pair[0] < pair[1]]


def _near(ids: np.ndarray, distances: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of photographs among the nearest of one another."""
    rows = np.repeat(np.arange(len(ids))[:, None], ids.shape[1], axis=1)
    kept = (ids >= 0) & (ids != rows) & (distances <= 1 - CLOSE)
    pairs = np.sort(np.stack([rows[kept], ids[kept]], axis=1), axis=1)
    return [(int(first), int(second)) for first, second in np.unique(pairs, axis=0)]


def _correlated(thumbnails: np.ndarray, pairs: list[tuple[int, int]], shifts) -> np.ndarray:
    """r of pairs of rows, a chunk at a time."""
    chunks = [np.array(pairs[at : at + CHUNK]).T for at in range(0, len(pairs), CHUNK)]
    found = [_correlations(*thumbnails[chunk], shifts) for chunk in chunks]
    return np.concatenate([np.zeros(0), *found])


def _correlations(first: np.ndarray, second: np.ndarray, shifts) -> np.ndarray:
    """r of P pairs of thumbnails (P, S, S): (P,)."""
    rows, columns = _warps(first.shape[-1], shifts)
    best = np.full(len(first), -1.0)
    for warped, still in ((first, second), (second, first)):
        moved = np.einsum(
            "wij,pjk,wlk->pwil", rows, warped.astype(np.float32), columns, optimize=True
        )
        found = (
            _standardized(moved) @ _standardized(still[:, None].astype(np.float32))[:, 0, :, None]
        )
        best = np.maximum(best, found[..., 0].max(axis=1))
    return best


def _standardized(images: np.ndarray) -> np.ndarray:
    """z of images (..., S, S), flat: (..., S * S); zeros for an image of one value."""
    flat = images.reshape(*images.shape[:-2], -1)
    flat = flat - flat.mean(axis=-1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=-1, keepdims=True), 1e-6)


def _warps(side: int, shifts) -> tuple[np.ndarray, np.ndarray]:
    """Matrices R and C (W, S, S): R x C' is x mirrored or not, whole or a piece of it."""
    whole = np.eye(side, dtype=np.float32)
    found = [(whole, whole)]
    for zoom in ZOOMS:
        cuts = [_cut(side, zoom, shift) for shift in shifts]
        found += [(row, column) for row in cuts for column in cuts]
    found += [(row, column[:, ::-1]) for row, column in found]
    rows, columns = zip(*found, strict=True)
    return np.stack(rows), np.stack(columns)


def _cut(side: int, zoom: float, shift: float) -> np.ndarray:
    """(S, S): linear interpolation of a line at the places of a piece of it."""
    places = shift * (1 - zoom) * side + zoom * (np.arange(side) + 0.5) - 0.5
    return np.maximum(0, 1 - np.abs(places[:, None].clip(0, side - 1) - np.arange(side))).astype(
        np.float32
    )

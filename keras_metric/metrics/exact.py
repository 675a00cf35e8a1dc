"""Distances of a whole set whose every digit depends on the two rows alone.

A product of float32 matrices is rounded, and how depends on where a row lies in its block: equal
rows get distances that differ in the last digits, and a ranking breaks ties by luck. Here rows are
first rounded to multiples of a power of two, so coarse that sums of their products are whole
numbers below 2^53. float64 holds those exactly, in whatever order they are added.

    |q - g|^2 = |q|^2 + |g|^2 - 2 q·g            one product of the rows with two columns more

The grid is 2^-25 of the longest row, finer than what float32 products resolve; of float64 rows, and
where lengths differ by more than 64 times, a second product of what was rounded off adds 18 bits.
"""

from collections.abc import Callable

import numpy as np
from keras import ops

from keras_metric import distances

COARSE, FINE = 25, 18  # bits of the grid, and of the rest
SHORT = 2.0**-6  # of the longest row: below it the rest is needed
CHUNK = 2**20  # float64 products held at once


def between(
    queries: np.ndarray, candidates: np.ndarray, distance: str | Callable
) -> Callable[[np.ndarray | slice], np.ndarray]:
    """A function of rows of the queries: their distances (A, C) from all candidates.

    queries (Q, D), candidates (C, D): float32 or float64, which is the type of the distances.
    Manhattan and custom distances are computed as usual, on the distinct candidates.
    """
    function = distances.get(distance)
    dtype = np.result_type(queries, candidates)
    if function in (distances.cosine, distances.angular):
        zeros = ~queries.any(axis=1), ~candidates.any(axis=1)

        def of_units(squares, rows):
            squares[zeros[0][rows]] = 2
            squares[:, zeros[1]] = 2
            if function is distances.cosine:
                return squares / 2
            return 2 / np.pi * np.arcsin(np.minimum(np.sqrt(squares) / 2, 1))

        return _Grid(_unit(queries), _unit(candidates), dtype, of_units)
    if function is distances.signal_to_noise:
        queries, candidates = _centered(queries), _centered(candidates)
        power = np.square(queries).sum(axis=1)[:, None]
        power[power == 0] = 1
        return _Grid(queries, candidates, dtype, lambda squares, rows: squares / power[rows])
    if function is distances.euclidean:
        roots = lambda squares, rows: np.sqrt(squares, out=squares)  # noqa: E731
        return _Grid(queries, candidates, dtype, roots, centered=True)
    if function is distances.squared_euclidean:
        return _Grid(queries, candidates, dtype, centered=True)
    if function is distances.negative_dot:
        return _Grid(queries, candidates, dtype, products=True)
    _, first, place = np.unique(candidates, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)  # in which they come
    different, place = candidates[first[order]], np.argsort(order)[place.reshape(-1)]

    def of_different(rows):
        apart = np.asarray(ops.convert_to_numpy(function(queries[rows], different)))
        return apart[:, place]

    return of_different


def ranking(distance: str | Callable) -> Callable:
    """A distance that orders candidates as this one does, and whose numbers float32 holds."""
    function = distances.get(distance)
    return distances.euclidean if function is distances.squared_euclidean else function


class _Grid:
    """Squared differences, or negative products, of rows on a grid; `finish` makes the distances.

    finish: squares (A, C) float64 and the rows (A,) -> (A, C).
    """

    def __init__(self, queries, candidates, dtype, finish=None, *, centered=False, products=False):
        self.dtype, self.finish = dtype, finish
        rows = queries.astype(np.float64), candidates.astype(np.float64)
        if centered:
            rows = tuple(x - np.median(rows[1], axis=0) for x in rows)  # in whatever order
        peak = _power_of_two(max(np.abs(x).max() for x in rows))
        rows = tuple(x / peak for x in rows)  # whose squares stay in range
        lengths = np.sqrt(np.concatenate([np.square(x).sum(axis=1) for x in rows]))
        step = _power_of_two(lengths.max()) / 2**COARSE
        form, square = _negative_products if products else _squares, (peak * step) ** 2
        whole = [np.rint(x / step) for x in rows]
        self.parts = [_times(square, form(*whole, *whole))]
        shortest = lengths[lengths > 0].min(initial=np.inf)
        if dtype == np.float64 or shortest < SHORT * lengths.max():
            fine = 2.0 ** min(FINE, 26 - int(np.ceil(np.log2(queries.shape[1]) / 2)))
            rest = [np.rint((x / step - y) * fine) for x, y in zip(rows, whole, strict=True)]
            self.parts += [
                _times(square / fine, form(*whole, *rest, twice=True)),
                _times(square / fine**2, form(*rest, *rest)),
            ]

    def __call__(self, rows) -> np.ndarray:
        rows = np.arange(len(self.parts[0][0]))[rows]
        columns = self.parts[0][1].shape[1]
        found = np.empty((len(rows), columns), self.dtype)
        height = max(1, CHUNK // columns)
        for start in range(0, len(rows), height):
            part = rows[start : start + height]
            values = self.parts[0][0][part] @ self.parts[0][1]
            for left, right in self.parts[1:]:
                values += left[part] @ right
            if self.finish is not None:
                values = self.finish(values, part)
            with np.errstate(over="ignore"):
                found[start : start + height] = values
        return found


def _power_of_two(x: float) -> float:
    """The least that is not below x; 1 for 0."""
    return 2.0 ** np.ceil(np.log2(x)) if x else 1.0


def _times(factor: float, form):
    """Both matrices of a form, the left one times a power of two, which rounds nothing."""
    left, right = form
    return left * factor, right


def _squares(a, c, b=None, d=None, *, twice: bool = False):
    """Left (A, K) and right (K, C) whose product is sum (a - c)(b - d), twice if it is so asked."""
    if not twice:
        left = [-2 * a, np.ones((len(a), 1)), np.square(a).sum(axis=1, keepdims=True)]
        right = [c, np.square(c).sum(axis=1, keepdims=True), np.ones((len(c), 1))]
    else:
        left = [-2 * a, -2 * b, np.ones((len(a), 1)), 2 * (a * b).sum(axis=1, keepdims=True)]
        right = [d, c, 2 * (c * d).sum(axis=1, keepdims=True), np.ones((len(c), 1))]
    return np.hstack(left), np.ascontiguousarray(np.hstack(right).T)


def _negative_products(a, c, b=None, d=None, *, twice: bool = False):
    """Left and right whose product is -a·c, or with `twice` -(a·d + b·c)."""
    if twice:
        return np.hstack([-a, -b]), np.ascontiguousarray(np.hstack([d, c]).T)
    return -a, np.ascontiguousarray(c.T)


def _unit(x: np.ndarray) -> np.ndarray:
    """Rows of length 1 in float64, of any norm before; a zero row stays zero."""
    x = x.astype(np.float64)
    x = x / np.maximum(np.abs(x).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    lengths = np.sqrt(np.square(x).sum(axis=1, keepdims=True))
    return x / np.maximum(lengths, np.finfo(np.float64).tiny)


def _centered(x: np.ndarray) -> np.ndarray:
    """Rows minus their mean; a row of equal coordinates is exactly zero."""
    x = x.astype(np.float64)
    centered = x - x.mean(axis=1, keepdims=True)
    power = np.square(centered).sum(axis=1, keepdims=True)
    return np.where(power > 1e-10 * np.square(x).sum(axis=1, keepdims=True), centered, 0)

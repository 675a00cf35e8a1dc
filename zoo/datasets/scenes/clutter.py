"""The clutter of a scene: strokes, fragments of glyphs, noise."""

import numpy as np

POINTS = 24  # of a stroke, joined by straight lines


def stroke(rng: np.random.Generator, side: int) -> np.ndarray:
    """A pen stroke about `side` pixels long: `(h, w)` float32, ink 255, anti-aliased.

    A quadratic Bezier curve with random end and control points; every pixel has the value of
    clip(r + 1/2 - d, 0, 1), with d its distance to the curve and r half the pen's width.
    """
    ends = rng.uniform(0, side, (3, 2))
    along = np.linspace(0, 1, POINTS)[:, None]
    curve = (1 - along) ** 2 * ends[0] + 2 * along * (1 - along) * ends[1] + along**2 * ends[2]
    radius = rng.uniform(0.03, 0.07) * side
    curve += radius + 1 - curve.min(0)
    height, width = np.ceil(curve.max(0) + radius + 1).astype(int)
    pixels = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1) + 0.5
    distance = _to_segments(pixels, curve[:-1], curve[1:])
    return (255 * np.clip(radius + 0.5 - distance, 0, 1)).astype(np.float32)


def fragment(rng: np.random.Generator, glyph: np.ndarray) -> np.ndarray:
    """A part of a glyph, 30 to 50 per cent of each side: too little to be read."""
    sides = np.array(glyph.shape)
    part = np.maximum(1, np.rint(rng.uniform(0.3, 0.5, 2) * sides)).astype(int)
    top, left = rng.integers(0, sides - part + 1)
    return glyph[top : top + part[0], left : left + part[1]].astype(np.float32)


def noise(rng: np.random.Generator, shape: tuple[int, int], level: float) -> np.ndarray:
    """Normal noise of standard deviation `level`, `shape` float32."""
    return rng.standard_normal(shape, np.float32) * np.float32(level)


def _to_segments(pixels: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """`(h, w, 2)` pixels: the distance of each to the nearest of the segments `(n, 2)`."""
    way = ends - starts
    from_start = pixels[:, :, None] - starts
    length = np.maximum((way**2).sum(-1), 1e-12)
    share = np.clip((from_start * way).sum(-1) / length, 0, 1)
    return np.sqrt(((from_start - share[..., None] * way) ** 2).sum(-1)).min(-1)

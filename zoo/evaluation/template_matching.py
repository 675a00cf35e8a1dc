"""Normalised cross-correlation, what finds a picture in a larger one without any learning."""

from collections.abc import Sequence

import numpy as np

from keras_metric.convert import Geometry
from keras_metric.location import Level, pyramid, resized


def matching(templates: np.ndarray, scene: np.ndarray, scales: Sequence[float]) -> list[Level]:
    """Maps of the correlation of K templates with every window of a scene, at several scales.

    Args:
        templates: `(K, h, w, C)`. scene: `(H, W, C)`.
        scales: sizes to look for, over that of the templates; the scene is resized, as
            `keras_metric.Locator` does it.

    Returns:
        A `Level` for each scale, with values `(rows, columns, K)` from -1 to 1, a window a pixel.
    """
    window = templates.shape[1:3]
    levels = []
    for scale, size in pyramid(scene.shape[:2], window, window, scales):
        values = correlation(templates, resized(scene[None], size)[0])
        places = Geometry(window, (1, 1), (0, 0), window, (0, 0), (1, 1), size)
        ratio = tuple(n / m for n, m in zip(scene.shape[:2], size, strict=True))
        levels.append(Level(scale, values, places, ratio))
    return levels


def correlation(templates: np.ndarray, image: np.ndarray) -> np.ndarray:
    """`(K, h, w, C), (H, W, C) -> (H - h + 1, W - w + 1, K)`, the cosine of two centred windows:

        sum (T - mean T) (I - mean I) / (|T - mean T| |I - mean I|)

    by Fourier transforms. A window or template without contrast correlates with nothing: 0.

    Lewis, "Fast Normalized Cross-Correlation", 1995, eq. 2 to 4.
    """
    image = image.astype("float64")
    image = image - image.mean()
    centred = templates.astype("float64")
    centred = centred - centred.mean(axis=(1, 2, 3), keepdims=True)
    lengths = np.sqrt((centred**2).sum(axis=(1, 2, 3)))
    spectrum = np.fft.rfft2(image, axes=(0, 1))
    size = image.shape[:2]
    products = spectrum * np.fft.rfft2(centred, s=size, axes=(1, 2)).conj()
    window = templates.shape[1:3]
    rows, columns = (n - w + 1 for n, w in zip(size, window, strict=True))
    shared = np.fft.irfft2(products.sum(-1), s=size, axes=(1, 2))[:, :rows, :columns]
    total, squares = (_sums(x.sum(-1), window) for x in (image, image**2))
    power = np.maximum(squares - total**2 / templates[0].size, 0)
    contrast = np.sqrt(power) * lengths[:, None, None]
    least = 1e-6 * max(contrast.max(initial=0), 1e-12)
    found = np.divide(shared, contrast, out=np.zeros_like(shared), where=contrast > least)
    return np.moveaxis(np.clip(found, -1, 1), 0, -1)


def _sums(image: np.ndarray, window: tuple[int, ...]) -> np.ndarray:
    """The sum over every window, from a table of running sums."""
    table = np.pad(image.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    h, w = window
    return table[h:, w:] - table[:-h, w:] - table[h:, :-w] + table[:-h, :-w]

"""Evaluation of locating in scenes: average precision, and how often the best box is correct."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_metric import Locator
from keras_metric.boxes import intersection_over_union
from keras_metric.convert import Geometry
from keras_metric.location import Level, find, pyramid, resized
from keras_metric.metrics import Boxes, detected
from zoo.datasets.images import Images
from zoo.datasets.scenes.scenes import Scenes


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

    by Fourier transforms. For a window or template without contrast it is 0.

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


RIGHT = 0.5  # intersection over union from which a box is right
OVERLAP = 0.3
TOP = 5  # boxes of an exemplar in a scene


@dataclass(frozen=True)
class Search:
    """Every exemplar is searched in every scene; all methods use the same `scales`."""

    exemplars: Images
    scenes: Scenes
    scales: tuple[float, ...]

    def __repr__(self) -> str:
        return f"Search(for {self.exemplars!r} in {self.scenes!r}, at scales {self.scales})"


def by_embedding(encoder, search: Search) -> dict[str, float]:
    """Results of `keras_metric.Locator`."""
    locator = Locator(encoder, scales=search.scales)
    embeddings = locator.embed(search.exemplars.images)
    return measured(
        search, lambda image: locator.compare(embeddings, list(locator.scan(image)), combine=None)
    )


def by_correlation(search: Search, blur: float = 0.0) -> dict[str, float]:
    """Results of normalized cross-correlation, of pictures that are blurred first."""
    templates = blurred(search.exemplars.images, blur)
    return measured(
        search, lambda image: matching(templates, blurred(image[None], blur)[0], search.scales)
    )


def measured(search: Search, levels: Callable[[np.ndarray], list[Level]]) -> dict[str, float]:
    """Average precision and recall@1 of the boxes found.

    levels: of one image, the maps of scores `(rows, columns, K)` of the K exemplars.

    - average precision: of each exemplar over the boxes of all scenes, those without its class
      too (`keras_metric.metrics.Detected`); then the mean over exemplars.
    - recall@1: in how many scenes that show the exemplar's class the best box is right: it has an
      intersection over union of at least 1/2 with one of the true boxes.
    """
    found: list[list[Boxes]] = [[] for _ in search.exemplars.labels]
    truth: list[list[Boxes]] = [[] for _ in found]
    first: list[bool] = []
    for index in range(len(search.scenes)):
        scene = search.scenes[index]
        maps = levels(scene.image)
        for k, label in enumerate(search.exemplars.labels):
            mine = [replace(level, values=level.values[..., k]) for level in maps]
            best = find(mine, threshold=None, overlap=OVERLAP, top=TOP)
            boxes = np.array([one.box for one in best])
            shown = scene.boxes[scene.labels == label]
            scores = np.array([one.score for one in best])
            found[k].append(Boxes(boxes, np.full(len(best), label), scores))
            truth[k].append(Boxes(shown, np.full(len(shown), label)))
            if len(shown):
                first.append(intersection_over_union(boxes[:1], shown).max() >= RIGHT)
    judged = [detected(f, t, iou=RIGHT) for f, t in zip(found, truth, strict=True)]
    precisions = [one.average_precision for one in judged if one.objects]
    return {
        "average precision": round(float(np.mean(precisions)), 6),
        "recall@1": round(float(np.mean(first)), 6),
    }


def blurred(images: np.ndarray, width: float) -> np.ndarray:
    """`(B, H, W, C)` float32 after a Gaussian of `width` pixels; beyond the rim is black."""
    images = images.astype("float32")
    if not width:
        return images
    reach = np.arange(-int(3 * width + 0.5), int(3 * width + 0.5) + 1)
    kernel = np.exp(-(reach**2) / (2 * width**2)).astype("float32")
    kernel /= kernel.sum()
    for axis in (1, 2):
        images = np.apply_along_axis(np.convolve, axis, images, kernel, mode="same")
    return images

"""Pictures of maps: overlays, grids that compare methods, lines between similar positions.

Images are `(H, W, 3)`, `(H, W, 1)` or `(H, W)`: integers from 0 to 255, or floats from 0 to 1;
other floats (standardized images) are stretched from their minimum to their maximum.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module

import numpy as np

from keras_metric.plots.figures import Figure, figure, rgb

CMAP = "jet"
SIGNED_CMAP = "RdBu_r"


def overlay(
    image,
    heat,
    *,
    alpha: float | np.ndarray = 0.5,
    cmap: str | None = None,
    signed: bool | None = None,
    limit: float | None = None,
) -> np.ndarray:
    """A color map over its image: `(H, W, 3)` bytes.

        alpha x color(map) + (1 - alpha) x image

    Args:
        image: the image.
        heat: `(H, W)` map of the image's size.
        alpha: the share of color, 0 to 1; one for all, or `(H, W)`.
        cmap: a matplotlib color map; "jet", or "RdBu_r" (red for, blue against) when signed.
        signed: color from -limit to limit instead of 0 to limit; by default when the map has
            negative values.
        limit: the value of full color; by default the map's largest magnitude. Use the same value
            for several overlays to compare magnitudes.

    Raises:
        ValueError: sizes differ, alpha is out of range, or the color map is unknown.
    """
    picture, heat, share = rgb(image), np.asarray(heat, "float64"), np.asarray(alpha)
    fits = heat.shape == picture.shape[:2] and share.shape in ((), heat.shape)
    if not fits or not (share.min() >= 0 and share.max() <= 1):
        received = alpha if share.shape == () else f"a map {share.shape}"
        raise ValueError(
            "The map cannot be laid over the image. Expected: a map of the image's size, and alpha "
            "from 0 to 1, one for all or a map, too. "
            f"Received: map {heat.shape}, image {picture.shape[:2]}, alpha={received}."
        )
    share = share[..., None]
    shades = _color_map(cmap, _is_signed(heat, signed))(_shade(heat, signed, limit))
    mixed = share * shades[..., :3] + (1 - share) * picture
    return np.round(255 * mixed).astype("uint8")


def comparison(
    images,
    maps: Mapping[str, np.ndarray],
    *,
    titles: Sequence[str] | None = None,
    alpha: float = 0.5,
    cmap: str | None = None,
    signed: bool | None = None,
    shared: bool = False,
) -> Figure:
    """A row for each image, a column for each map, with a color bar.

    Args:
        images: `(B, H, W, C)`.
        maps: name of the column -> `(B, H, W)`.
        titles: a caption for each row.
        alpha, cmap, signed: as in `overlay`; signed by default when any map has negative values.
        shared: one color scale for all maps; otherwise each map has its own, and the color bar
            shows fractions.
    """
    images = np.asarray(images)
    signed = any(_is_signed(np.asarray(m), signed) for m in maps.values())
    limit = max(np.abs(np.asarray(m)).max() for m in maps.values()) if shared else None
    rows, columns = len(images), len(maps) + 1
    height = 1.6 * images.shape[1] / images.shape[2]
    captions = max(map(len, () if titles is None else titles), default=0)
    drawn = figure(1.65 * columns + 1.2 + 0.06 * captions, (height + 0.06) * rows + 0.4)
    drawn.set_layout_engine("compressed")  # images keep their shape: nothing hangs over the edge
    axes = drawn.subplots(rows, columns, squeeze=False)
    for row, image in enumerate(images):
        axes[row, 0].imshow(rgb(image))
        for column, heat in enumerate(maps.values(), start=1):
            axes[row, column].imshow(
                overlay(image, heat[row], alpha=alpha, cmap=cmap, signed=signed, limit=limit)
            )
        if titles is not None:
            axes[row, 0].set_ylabel(titles[row], rotation=0, ha="right", va="center", fontsize=8)
    for column, name in enumerate(["image", *maps]):
        axes[0, column].set_title(name, fontsize=9)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    top = 1.0 if limit is None else limit
    norm = _matplotlib("colors").Normalize(-top if signed else 0, top)
    scale = _matplotlib("cm").ScalarMappable(norm, _color_map(cmap, signed))
    bar = drawn.colorbar(scale, ax=axes, fraction=0.2 / columns, pad=0.01, aspect=30)
    bar.set_label("value" if shared else "share of each\nmap's largest value", fontsize=8)
    return drawn


def similarity_lines(image, other, pairs, *, top: int = 10, cmap: str = "viridis") -> Figure:
    """Two images, and lines between the positions that contribute most to their similarity.

    Args:
        image, other: the two images.
        pairs: `(h, w, h', w')` shares of pairs of positions, as `SimilarityCAM.points` returns them
            for one pair of images.
        top: number of lines; only positive shares are drawn, larger ones thicker.
    """
    pairs = np.asarray(pairs, "float64")
    if pairs.ndim != 4 or top < 1:
        raise ValueError(
            "No pairs of positions. Expected: shares (h, w, h', w') and top of at least 1. "
            f"Received: {pairs.shape} and top={top}."
        )
    patch_class = _matplotlib("patches").ConnectionPatch
    drawn = figure(7, 3.6)
    left, right = drawn.subplots(1, 2)
    pictures = [rgb(image), rgb(other)]
    for axis, picture in zip((left, right), pictures, strict=True):
        axis.imshow(picture)
        axis.set(xticks=[], yticks=[])
    order = np.argsort(-pairs.ravel(), kind="stable")[:top]
    strongest = max(pairs.max(), 1e-12)
    shades = _color_map(cmap, False)
    for number in [n for n in order[::-1] if pairs.flat[n] > 0]:
        y, x, v, u = np.unravel_index(number, pairs.shape)
        strength = pairs.flat[number] / strongest
        ends = [
            _centre(cell, pairs.shape[2 * i : 2 * i + 2], pictures[i].shape)
            for i, cell in enumerate([(y, x), (v, u)])
        ]
        line = patch_class(
            ends[0],
            ends[1],
            "data",
            "data",
            axesA=left,
            axesB=right,
            color=shades(strength),
            linewidth=0.5 + 2.5 * strength,
            arrowstyle="-",
        )
        line.set_in_layout(False)
        drawn.add_artist(line)
    norm = _matplotlib("colors").Normalize(0, strongest)
    scale = _matplotlib("cm").ScalarMappable(norm, shades)
    drawn.colorbar(scale, ax=[left, right], label="share of the similarity", shrink=0.8)
    return drawn


def _is_signed(heat: np.ndarray, signed: bool | None) -> bool:
    return bool(heat.min() < 0) if signed is None else signed


def _shade(heat: np.ndarray, signed: bool | None, limit: float | None) -> np.ndarray:
    """Values as places from 0 to 1 on the color map."""
    top = np.abs(heat).max() if limit is None else limit
    share = np.clip(heat / max(top, 1e-12), -1, 1)
    return (share + 1) / 2 if _is_signed(heat, signed) else np.clip(share, 0, 1)


def _color_map(cmap: str | None, signed: bool):
    known = _matplotlib("").colormaps
    name = cmap or (SIGNED_CMAP if signed else CMAP)
    if name not in known:
        raise ValueError(
            "Unknown color map. Expected: a name matplotlib knows, as jet, viridis, RdBu_r. "
            f"Received: {name!r}."
        )
    return known[name]


def _centre(cell: tuple[int, int], grid: tuple[int, ...], shape: tuple[int, ...]):
    """The pixel `(x, y)` in the middle of a grid cell."""
    y, x = ((i + 0.5) * n / g - 0.5 for i, g, n in zip(cell, grid, shape[:2], strict=True))
    return x, y


def _matplotlib(module: str):
    """A module of matplotlib; `figure` has already checked that it is installed."""
    figure(1, 1)
    return import_module(f"matplotlib.{module}".rstrip("."))

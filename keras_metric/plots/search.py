"""A picture of a search: exemplar, scene with boxes, map of scores."""

from collections.abc import Sequence

import numpy as np

from keras_metric.plots.figures import Figure, figure, outlined, shown

FRAME = "#ff7f0e"


def search(exemplar, scene, boxes: Sequence[Sequence[float]], scores, heat) -> Figure:
    """The exemplar, the scene with its boxes numbered best first, and the map of scores.

    Args:
        exemplar: image `(h, w, C)`. scene: `(H, W, C)`; uint8 or floats of 0..1.
        boxes: `(left, top, right, bottom)` each, in pixels of the scene. scores: one for each box.
        heat: `(H, W)`, as `keras_metric.Locator.score_map` returns it; gray where it is NaN.

    Raises:
        ValueError: a map of another size than the scene, or scores that are not one for each box.
    """
    picture, heat = shown(scene), np.asarray(heat)
    if heat.shape != picture.shape[:2] or len(boxes) != len(scores):
        raise ValueError(
            "The search cannot be drawn. Expected: a map of the scene's size and a score for each "
            f"box. Received: map {heat.shape}, scene {picture.shape[:2]}, {len(boxes)} boxes, "
            f"{len(scores)} scores."
        )
    high = 4.2 * min(1.5, picture.shape[0] / picture.shape[1])
    drawn = figure(11, high + 0.4)
    axes = drawn.subplots(1, 3, gridspec_kw={"width_ratios": [1, 4, 4.5]})
    axes[0].imshow(shown(exemplar), cmap="gray", vmin=0, vmax=1)
    axes[0].set_title("looked for", fontsize=9)
    axes[1].imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes[1].set_title(f"found: {len(boxes)}, best first", fontsize=9)
    for number, (box, score) in enumerate(zip(boxes, scores, strict=True), 1):
        _frame(axes[1], box, f"{number}: {score:.2f}", strong=number == 1)
    axes[2].set_facecolor("lightgrey")
    colors = axes[2].imshow(heat, cmap="viridis")
    axes[2].set_title("score of the window around each pixel", fontsize=9)
    drawn.colorbar(colors, ax=axes[2], shrink=0.8)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
    return drawn


def _frame(axis, box, text: str, *, strong: bool) -> None:
    outlined(axis, box, FRAME, width=2.2 if strong else 1.2)
    label = {"facecolor": FRAME, "edgecolor": "none", "pad": 0.8}
    axis.text(box[0], box[1] - 1.5, text, fontsize=7, color="black", bbox=label, va="bottom")

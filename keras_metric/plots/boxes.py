"""Boxes and their captions over a picture."""

from collections.abc import Sequence

import numpy as np

from keras_metric.plots.figures import rgb
from keras_metric.plots.files import pillow

COLORS = (
    *("#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4", "#46f0f0", "#f032e6"),
    *("#bcf60c", "#fabebe", "#008080", "#e6beff"),
)


def boxes(
    image,
    boxes: Sequence[Sequence[float]],
    *,
    labels: Sequence[int] | None = None,
    captions: Sequence[str] | None = None,
) -> np.ndarray:
    """`(H, W, 3)` bytes: frames on an image, the first box on top.

    Args:
        image: `(H, W, 3)`, `(H, W, 1)` or `(H, W)`; integers 0 to 255, or floats.
        boxes: `(left, top, right, bottom)` in pixels, right and bottom excluded.
        labels: a class for each box, which gives its color.
        captions: a text for each box, written above it; omitted if it is much wider than the box.

    Raises:
        ValueError: boxes of another form, or not one label and caption per box.
    """
    corners = np.reshape(np.asarray(boxes, "float64"), (len(boxes), -1 if len(boxes) else 4))
    given = [x for x in (labels, captions) if x is not None]
    if corners.shape[1] != 4 or any(len(x) != len(corners) for x in given):
        raise ValueError(
            "The boxes cannot be drawn. Expected: (left, top, right, bottom) for each, and as many "
            f"labels and captions. Received: boxes {np.shape(boxes)}, {[len(x) for x in given]}."
        )
    picture = pillow().fromarray(np.round(255 * rgb(image)).astype("uint8"))
    sides = np.abs(corners[:, 2:] - corners[:, :2]).ravel() if len(corners) else np.ones(1)
    pen = _Pen(picture, max(1, round(min(max(picture.size) / 500, np.median(sides) / 20))))
    for i in reversed(range(len(corners))):
        color = COLORS[(labels[i] if labels is not None else 0) % len(COLORS)]
        pen.frame(corners[i], color, captions[i] if captions is not None else "")
    return np.asarray(picture)


class _Pen:
    def __init__(self, picture, width: int):
        from PIL import ImageDraw, ImageFont

        self.draw = ImageDraw.Draw(picture)
        self.width = width
        self.font = ImageFont.load_default(8 + 3 * width)

    def frame(self, box, color: str, caption: str) -> None:
        left, top, right, bottom = (round(float(x)) for x in box)
        ends = (left, top, max(right - 1, left), max(bottom - 1, top))
        self.draw.rectangle(ends, outline=color, width=self.width)
        *_, wide, high = self.draw.textbbox((0, 0), caption, font=self.font)
        if caption and wide <= 1.6 * (right - left):
            y = top - high - 2 if top >= high + 2 else top
            self.draw.rectangle((left, y, left + wide + 3, y + high + 2), fill=color)
            self.draw.text((left + 2, y), caption, fill="black", font=self.font)

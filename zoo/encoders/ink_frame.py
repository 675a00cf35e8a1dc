"""Drawings brought to about the same size, in the middle of a small frame.

    images = InkFrame(28)(drawings)

Small characters keep what tells them apart: a frame of 28 x 28 around one that is a quarter as wide
as its paper shows it with three times the detail that shrinking the paper leaves.
"""

import keras
from keras import layers, ops

from keras_metric.arguments import number, whole

USUAL = 0.52  # of the side of the paper: the longer side of an Omniglot character, as a rule
LEAST = 0.19


@keras.saving.register_keras_serializable("keras_metric")
class InkFrame(layers.Layer):
    """`(B, H, W, C) -> (B, side, side, C)`: a window around the ink; a pixel is its area's mean.

    The window is a square around the middle of the ink's bounding box, of side

        s = margin l^strength (0.52 h)^(1 - strength),    l = max(longer side of the box, 0.19 h)

    where h is the shorter side of the paper. Strength 0 gives all drawings the same window, 1
    brings all to the same size. Ink is what exceeds 127 in any channel; outside of the paper is 0;
    paper without ink counts as full of it. There is no gradient with respect to the window.

    Raises `ValueError` for a value out of range, or images of no known size.
    """

    def __init__(self, side: int = 28, *, strength: float = 0.6, margin: float = 1.15, **options):
        super().__init__(**options)
        self.side = whole("side", side)
        self.strength = number("strength", strength, least=0, most=1)
        self.margin = number("margin", margin, above=0)

    def build(self, input_shape):
        if len(input_shape) != 4 or not (input_shape[1] and input_shape[2]):
            raise ValueError(
                "The images have no fixed size. Expected: images (B, H, W, C) of a fixed height "
                f"and width above 0. Received: {tuple(input_shape)}."
            )
        super().build(input_shape)

    def call(self, images):
        images = ops.cast(images, self.compute_dtype)
        ink = ops.any(images > 127, axis=-1)
        height, width = images.shape[1:3]
        rows, columns = _extent(ops.any(ink, axis=2), height), _extent(ops.any(ink, axis=1), width)
        longer = ops.maximum(rows[1] - rows[0], columns[1] - columns[0])
        paper = float(min(height, width))
        longer = ops.maximum(longer, LEAST * paper) ** self.strength
        window = self.margin * longer * (USUAL * paper) ** (1 - self.strength)
        down = self._areas(rows, window, height)
        right = self._areas(columns, window, width)
        return ops.einsum("bih,bhwc,bjw->bijc", down, images, right)

    def _areas(self, extent, window, length: int):
        """`(B, side, length)`: the share of each new pixel that lies in each old one."""
        middle = (extent[0] + extent[1]) / 2
        step = (window / self.side)[:, None, None]
        places = ops.reshape(ops.arange(self.side, dtype="float32"), (1, -1, 1))
        low = (middle - window / 2)[:, None, None] + places * step
        old = ops.reshape(ops.arange(length, dtype="float32"), (1, 1, -1))
        overlap = ops.minimum(low + step, old + 1) - ops.maximum(low, old)
        return ops.cast(ops.relu(overlap) / step, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.side, self.side, input_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "side": self.side,
            "strength": self.strength,
            "margin": self.margin,
        }


def framed(model: keras.Model, frame: InkFrame, input_shape: tuple[int, ...]) -> keras.Model:
    """A model that takes whole drawings: each in its frame, then to the model."""
    images = keras.Input(input_shape, name="images")
    return keras.Model(images, model(frame(images)), name="framed")


def _extent(there, length: int):
    """Where ink begins and ends along an axis, (B,) each: `(B, length)` bool -> float32 pixels."""
    marks = ops.cast(there, "float32")
    first = ops.argmax(marks, axis=1)
    last = ops.argmax(ops.flip(marks, axis=1), axis=1)
    return ops.cast(first, "float32"), length - ops.cast(last, "float32")

"""Scenes with the boxes that were found in them, or the label of every pixel."""

from collections.abc import Mapping, Sequence

import numpy as np

from keras_metric.metrics import Boxes, detected
from keras_metric.plots import figure, outlined, shown

RIGHT, WRONG, MISSED = "#2a9d3a", "#d62728", "#ffb000"


def found_boxes(
    images: np.ndarray, found: Sequence[Boxes], truth: Sequence[Boxes], names: Sequence[str]
):
    """Scenes in two rows: what was found is named, green if right, red if not; missed is dashed."""
    columns = -(-len(images) // 2)
    drawn = figure(3.2 * columns, 6.6)
    axes = drawn.subplots(2, columns, squeeze=False).ravel()
    for axis, image, mine, true in zip(axes, images, found, truth, strict=False):
        axis.imshow(shown(image), cmap="gray", vmin=0, vmax=1)
        right = [_is_right(one, true) for one in _each(mine)]
        for one, good in zip(_each(mine), right, strict=True):
            _frame(axis, one, RIGHT if good else WRONG, names[int(one.labels[0])])
        for one in _each(true):
            if not any(_is_right(other, one) for other in _each(mine)):
                _frame(axis, one, MISSED, names[int(one.labels[0])], "--")
    for axis in axes:
        axis.set(xticks=[], yticks=[])
    return drawn


def labelled_pixels(images: np.ndarray, columns: Mapping[str, np.ndarray], names: Sequence[str]):
    """A row a scene, a column a labelling `(N, H, W)`, 0 for nothing, else the class + 1."""
    drawn = figure(2.2 * (len(columns) + 1) + 0.8, 2.3 * len(images) + 0.3)
    axes = drawn.subplots(len(images), len(columns) + 1, squeeze=False)
    for row, image in enumerate(images):
        axes[row, 0].imshow(shown(image), cmap="gray", vmin=0, vmax=1)
        for column, labels in enumerate(columns.values(), 1):
            seen = np.ma.masked_equal(labels[row], 0)
            axes[row, column].set_facecolor("black")
            painted = axes[row, column].imshow(
                seen, cmap="tab10", vmin=0.5, vmax=len(names) + 0.5, interpolation="nearest"
            )
    for axis, title in zip(axes[0], ("scene", *columns), strict=True):
        axis.set_title(title, fontsize=10)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    bar = drawn.colorbar(painted, ax=axes, shrink=0.6, ticks=range(1, len(names) + 1))
    bar.set_ticklabels(names)
    return drawn


def _each(boxes: Boxes) -> list[Boxes]:
    parts = (None if part is None else np.asarray(part)[:, None] for part in boxes)
    columns = [part if part is not None else [None] * len(boxes.labels) for part in parts]
    return [Boxes(*one) for one in zip(*columns, strict=True)]


def _is_right(one: Boxes, true: Boxes) -> bool:
    same = np.asarray(true.labels) == one.labels[0]
    mine = Boxes(one.boxes, one.labels, np.ones(1))
    return bool(detected([mine], [Boxes(np.asarray(true.boxes)[same], true.labels[same])]).hits[0])


def _frame(axis, one: Boxes, colour: str, text: str, style: str = "-") -> None:
    left, top, *_ = box = tuple(map(float, one.boxes[0]))
    outlined(axis, box, colour, style=style)
    axis.text(left, top - 1, text, color=colour, fontsize=9, va="bottom")

"""What to explain: targets for every map method.

cam(images, targets.Difference(3, 1))        why class 3 and not class 1
cam(images, targets.Opposite())              the negative class of a single sigmoid unit
cam(images, targets.Mask(mask, 2))           the mean logit of class 2 inside a mask
cam(images, targets.Box((8, 4, 40, 30), 2))  the score of class 2 inside a box
cam(images, targets.Vector(text))            the cosine of the embedding to a vector
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_metric.cam.network.positions import Positions
from keras_metric.cam.rendering import overlap, resized
from keras_metric.cam.targets.classes import of_class
from keras_metric.cam.targets.logits import class_scores


class Answer(NamedTuple):
    """A model's output: `values (B, C)` or `(B, places..., C)` before softmax, and all outputs.

    layout: the grid of an output that is a map; size: of the image.
    """

    values: Any
    outputs: Any
    layout: Positions | None
    size: tuple[int, ...]


class Target:
    """A number computed from a model's output, `score(answer, arrays) -> (B,)`, that maps explain.

    whole: of an output that is a map it uses only the mean over positions.
    linear: it is a linear function of the output.
    holds_length: it divides by the length of the output, treated as constant.
    """

    whole = True
    linear = True
    holds_length = False

    def check(self, classes: int, size: tuple[int, ...]) -> None:
        """Raise an error if such a model or an image of this size does not have it."""

    def arrays(self, batch: int, size: tuple[int, ...]) -> tuple[np.ndarray, ...]:
        """Other inputs of the score, one row per image."""
        return ()

    def key(self) -> tuple:
        """Equal for targets that differ only in their arrays."""
        return (type(self),)

    def score(self, answer: Answer, arrays: tuple, at: Answer | None = None):
        """`(B,)` in float32; `at` is the answer whose length counts, where a length does."""
        raise NotImplementedError


class Class(Target):
    """The score of a class, before softmax: one number, or one for each image."""

    noun = "class"

    def __init__(self, number: int | Sequence[int]):
        self.number = number

    def check(self, classes: int, size: tuple[int, ...]) -> None:
        _check_numbers(self, self.number, classes)

    def arrays(self, batch, size):
        return (_column(self.number, batch),)

    def score(self, answer, arrays, at=None):
        return of_class(class_scores(answer.values), arrays[0])

    def __str__(self) -> str:
        return f"{self.noun} {self.number}"


class Dimension(Class):
    """One dimension of an embedding, before it is scaled to unit length."""

    noun = "dimension"


class Output(Class):
    """One output of a regression."""

    noun = "output"


class Opposite(Class):
    """The negative class of a sigmoid unit: the logit of 1 - p, minus that of the unit.

    log((1 - p) / p) = -z
    """

    def __init__(self, number: int | Sequence[int] = 0):
        super().__init__(number)

    def score(self, answer, arrays, at=None):
        return -super().score(answer, arrays)

    def __str__(self) -> str:
        return f"not class {self.number}"


class Difference(Target):
    """The score of one class minus that of another, before softmax: why this one and not that."""

    def __init__(self, number: int | Sequence[int], other: int | Sequence[int]):
        self.number, self.other = number, other

    def check(self, classes: int, size: tuple[int, ...]) -> None:
        for number in (self.number, self.other):
            _check_numbers(self, number, classes)

    def arrays(self, batch, size):
        return _column(self.number, batch), _column(self.other, batch)

    def score(self, answer, arrays, at=None):
        scores = class_scores(answer.values)
        return of_class(scores, arrays[0]) - of_class(scores, arrays[1])

    def __str__(self) -> str:
        return f"class {self.number} minus class {self.other}"


class Vector(Target):
    """The cosine of an embedding to a vector of the same space, such as that of a text prompt.

        e . v / (|e| |v|),  |e| treated as constant

    The cosine does not depend on the length of the embedding, so gradient times activation sums to
    0; with a constant length, shares add up to the cosine, like those of `SimilarityCAM`.

    Args:
        vector: `(D,)`, or `(B, D)` with one for each image.
    """

    holds_length = True

    def __init__(self, vector):
        self.vector = np.asarray(vector, "float32")
        length = np.linalg.norm(self.vector, axis=-1)
        if self.vector.ndim not in (1, 2) or not np.isfinite(length).all() or not length.all():
            raise ValueError(
                "No direction to compare with. Expected: a vector (D,) or (B, D) of finite "
                f"numbers, not all zero. Received: shape {self.vector.shape}, lengths {length}."
            )

    def check(self, classes: int, size: tuple[int, ...]) -> None:
        if self.vector.shape[-1] != classes:
            raise ValueError(
                "The vector is of another space. Expected: as many dimensions as the embedding "
                f"has, {classes}. Received: {self.vector.shape[-1]}."
            )

    def arrays(self, batch, size):
        unit = self.vector / np.linalg.norm(self.vector, axis=-1, keepdims=True)
        return (_rows(self, unit, batch, 2),)

    def score(self, answer, arrays, at=None):
        embedding = class_scores(answer.values)
        held = ops.stop_gradient(embedding) if at is None else class_scores(at.values)
        length = ops.sqrt(ops.sum(ops.square(held), axis=-1))
        return ops.sum(embedding * arrays[0], axis=-1) / ops.maximum(length, 1e-12)

    def __str__(self) -> str:
        return "cosine to a vector"


class Mask(Target):
    """The mean score of a class over a mask, for models whose output is a map (segmentation).

    Args:
        mask: `(H, W)` for all images, or `(B, H, W)`: booleans, or shares from 0 to 1, in the size
            of the image or of the output.
        number: the class, one or one for each image.
    """

    whole = False

    def __init__(self, mask, number: int | Sequence[int]):
        self.mask, self.number = np.asarray(mask, "float32"), number
        if not self.mask.ndim or not self.mask.any() or not np.isfinite(self.mask).all():
            raise ValueError(
                "The mask is empty. Expected: (H, W) or (B, H, W) with at least one true pixel. "
                f"Received: shape {self.mask.shape}."
            )

    def check(self, classes: int, size: tuple[int, ...]) -> None:
        _check_numbers(self, self.number, classes)

    def arrays(self, batch, size):
        return _rows(self, self.mask, batch, len(size) + 1), _column(self.number, batch)

    def score(self, answer, arrays, at=None):
        mask, column = arrays
        grid = _grid_of(self, answer)
        if tuple(mask.shape[1:]) not in (tuple(answer.size), grid):
            raise ValueError(
                f"The mask is of another size. Expected: that of the image, {answer.size}, or of "
                f"the answer, {grid}. Received: {tuple(mask.shape)}."
            )
        return _mean_inside(answer, resized(mask, grid, overlap), column)

    def __str__(self) -> str:
        return f"class {self.number} inside a mask"


class Box(Target):
    """The score of a class inside a box.

    For a model whose output is a map it is the mean over the cells in the box, each weighted by its
    share inside. For a detector with a list of boxes it is the score of the listed box that
    overlaps most (intersection over union).

    Args:
        box: (left, top, right, bottom) in pixels of the image, right and bottom excluded; one for
            all images, or `(B, 4)`.
        number: the class, one or one for each image.
        boxes: for detectors, the output that lists boxes `(B, A, 4)`, by key or number, in pixels
            (left, top, right, bottom); or a function of all outputs that returns them. The
            explained output, `CAM(output=...)`, is then `(B, A, C)`.
    """

    whole = False

    def __init__(
        self,
        box,
        number: int | Sequence[int],
        *,
        boxes: str | int | Callable | None = None,
    ):
        self.box, self.number, self.boxes = np.asarray(box, "float32"), number, boxes
        self.linear = boxes is None
        sides = self.box[..., 2:] - self.box[..., :2] if self.box.shape[-1:] == (4,) else None
        if sides is None or self.box.ndim > 2 or not (sides > 0).all():
            raise ValueError(
                "No such box. Expected: (left, top, right, bottom) with right > left and bottom > "
                f"top, or (B, 4) of them. Received: {box}."
            )

    def check(self, classes: int, size: tuple[int, ...]) -> None:
        _check_numbers(self, self.number, classes)
        far = (self.box[..., 2:] <= 0) | (self.box[..., :2] >= np.array(size[::-1])[:2])
        if far.any():
            raise ValueError(
                f"The box lies outside the image. Expected: pixels of an image {size}. "
                f"Received: {self.box.tolist()}."
            )

    def key(self):
        return (type(self), self.boxes)

    def arrays(self, batch, size):
        return _rows(self, self.box, batch, 2), _column(self.number, batch)

    def score(self, answer, arrays, at=None):
        box, column = arrays
        if self.boxes is not None:
            return self._of_listed_box(answer, box, column)
        grid = _grid_of(self, answer)
        if len(grid) != 2:
            raise ValueError(
                "The answer has no height and width. Expected: an answer over height and width. "
                f"Received: {grid}."
            )
        sides = zip((1, 0), grid, answer.size, strict=True)
        down, across = (_covered(box[:, s], box[:, s + 2], n, size) for s, n, size in sides)
        return _mean_inside(answer, down[:, :, None] * across[:, None, :], column)

    def _of_listed_box(self, answer: Answer, box, column):
        listed = self.boxes(answer.outputs) if callable(self.boxes) else answer.outputs[self.boxes]
        listed = ops.cast(listed, "float32")
        scores = ops.cast(answer.values, "float32")
        if len(scores.shape) != 3 or tuple(listed.shape[1:]) != (scores.shape[1], 4):
            raise ValueError(
                "Boxes and scores do not match. Expected: boxes (B, A, 4) and scores (B, A, C). "
                f"Received: {tuple(listed.shape)} and {tuple(scores.shape)}."
            )
        best = ops.argmax(ops.stop_gradient(_iou(box, listed)), axis=-1)
        chosen = ops.take_along_axis(scores, best[:, None, None], axis=1)[:, 0]
        return of_class(chosen, column)

    def __str__(self) -> str:
        corners = ", ".join(f"{x:g}" for x in np.ravel(self.box)[:4])
        return f"class {self.number} in the box ({corners}{', ...' if self.box.ndim > 1 else ''})"


class Function(Target):
    """A function of the output before softmax, `output -> (B,)`."""

    whole = False

    def __init__(self, function: Callable):
        self.function = function

    def key(self):
        return (type(self), self.function)

    def score(self, answer, arrays, at=None):
        scores = ops.cast(self.function(answer.values), "float32")
        if len(scores.shape) != 1:
            raise ValueError(
                "The function explains no score. Expected: one number for each image, (B,). "
                f"Received: {tuple(scores.shape)} of an answer {tuple(answer.values.shape)}."
            )
        return scores

    def __str__(self) -> str:
        return getattr(self.function, "__name__", "a function of the answer")


def as_target(classes) -> Target | None:
    """The argument as a target; None if it is class numbers."""
    if isinstance(classes, Target):
        return classes
    return Function(classes) if callable(classes) else None


def _check_numbers(target: Target, number, classes: int) -> None:
    numbers = np.asarray(number)
    fits = numbers.dtype.kind in "iu" and numbers.ndim < 2 and numbers.size
    if not fits or numbers.min() < 0 or numbers.max() >= classes:
        raise ValueError(
            f"No such target: {target}. Expected: numbers from 0 to {classes - 1}, one, or one for "
            f"each image. Received: {number!r}."
        )


def _column(number, batch: int) -> np.ndarray:
    """`(B, 1)`."""
    numbers = np.asarray(number, "int32").reshape(-1, 1)
    if len(numbers) not in (1, batch):
        raise ValueError(
            "Numbers and images do not match. Expected: one number, or one for each image. "
            f"Received: {len(numbers)} for {batch} images."
        )
    return np.ascontiguousarray(np.broadcast_to(numbers, (batch, 1)))


def _rows(target: Target, values: np.ndarray, batch: int, rank: int) -> np.ndarray:
    values = values if values.ndim == rank else values[None]
    if len(values) not in (1, batch):
        raise ValueError(
            f"{target} and the images do not match. Expected: one for all, or one for each image. "
            f"Received: {len(values)} for {batch} images."
        )
    return np.ascontiguousarray(np.broadcast_to(values, (batch, *values.shape[1:])))


def _grid_of(target: Target, answer: Answer) -> tuple[int, ...]:
    if answer.layout is None or answer.layout.skip or answer.layout.order:
        raise ValueError(
            f"There are no places to choose from for {target}. Expected: a model that answers with "
            "a map (B, h, w, C), or for a box a detector and boxes=. "
            f"Received: an answer {tuple(answer.values.shape)}."
        )
    return answer.layout.grid


def _mean_inside(answer: Answer, mask, column):
    """The mean over `mask (B, h, w)` of one class's scores."""
    values = ops.cast(answer.values, "float32")
    scores = ops.reshape(values, (ops.shape(values)[0], -1, values.shape[-1]))
    chosen = ops.arange(values.shape[-1], dtype="int32") == ops.cast(column, "int32")
    scores = ops.sum(ops.where(chosen[:, None], scores, 0.0), axis=-1)
    share = ops.reshape(mask, (ops.shape(mask)[0], -1))
    return ops.sum(scores * share, axis=-1) / ops.maximum(ops.sum(share, axis=-1), 1e-12)


def _covered(begin, end, cells: int, length: int):
    """`(B, cells)`: the share of each cell that lies between two pixels of an axis."""
    edges = np.arange(cells + 1, dtype="float32") * (length / cells)
    low = ops.maximum(begin[:, None], edges[None, :-1])
    high = ops.minimum(end[:, None], edges[None, 1:])
    return ops.relu(high - low) * (cells / length)


def _iou(box, boxes):
    """`(B, 4), (B, A, 4) -> (B, A)`."""
    box = box[:, None]
    sides = ops.relu(
        ops.minimum(box[..., 2:], boxes[..., 2:]) - ops.maximum(box[..., :2], boxes[..., :2])
    )
    both = sides[..., 0] * sides[..., 1]
    areas = [ops.prod(ops.relu(b[..., 2:] - b[..., :2]), axis=-1) for b in (box, boxes)]
    return both / ops.maximum(areas[0] + areas[1] - both, 1e-12)

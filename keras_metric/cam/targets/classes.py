"""Which score to explain: class numbers, the best few, or a function of the model's answer."""

from collections.abc import Callable

import numpy as np
from keras import ops

from keras_metric.cam.targets.logits import class_scores

RIVALS = 3
BEST = -1


def wanted(classes, batch: int, count: int, scores: Callable) -> tuple[np.ndarray, bool]:
    """Class numbers `(B, M)`, and whether a class axis was requested.

    Args:
        classes: None (each image's best class), an int (for every image), B ints (one an image),
            `(B, M)` ints, "all", or "top3" and the like.
        count: the number of classes the model has.
        scores: called without arguments for `(B, C)`, only when needed.
    """
    if classes is None:
        return np.full((batch, 1), BEST, "int32"), False
    if isinstance(classes, str):
        return _by_word(classes, batch, count, scores), True
    numbers = np.asarray(classes)
    one_each = numbers.ndim < 2
    if numbers.ndim == 0:
        numbers = np.full((batch,), numbers)
    numbers = numbers[:, None] if one_each else numbers
    whole = numbers.dtype.kind in "iu"
    if not whole or numbers.ndim != 2 or len(numbers) != batch:
        raise _unknown(classes, batch, count)
    if numbers.size == 0 or numbers.min() < 0 or numbers.max() >= count:
        raise _unknown(classes, batch, count)
    return numbers.astype("int32"), not one_each


def _by_word(word: str, batch: int, count: int, scores: Callable) -> np.ndarray:
    if word == "all":
        return np.broadcast_to(np.arange(count, dtype="int32"), (batch, count))
    best = word.removeprefix("top")
    if word.startswith("top") and best.isdigit() and 1 <= int(best) <= count:
        order = np.argsort(-ops.convert_to_numpy(scores()), axis=-1, kind="stable")
        return order[:, : int(best)].astype("int32")
    raise _unknown(word, batch, count)


def _unknown(classes, batch: int, count: int) -> ValueError:
    return ValueError(
        f"No such classes. Expected: None, an int from 0 to {count - 1}, {batch} of them (one an "
        f'image), ({batch}, M) of them, "all", "top1" to "top{count}", an object of '
        "keras_metric.cam.targets (for the other side of a single unit, Opposite()), or a function "
        f"of the model's answer. Received: classes={classes!r}."
    )


def resolved(scores, classes):
    """Class numbers with each image's best class in place of `BEST`: `(B, C), (B, M) -> (B, M)`."""
    best = ops.top_k(scores, 1)[1]  # fewer operations than argmax takes
    return ops.where(classes == BEST, ops.cast(best, classes.dtype), classes)


def class_score(answer, classes):
    """`(B, ..., C), (B, 1) -> (B,)`: the score of a class."""
    scores = class_scores(answer)
    return of_class(scores, resolved(scores, classes))


def score_against_rivals(answer, classes):
    """The score of a class minus the mean of the scores nearest to it (three, or fewer)."""
    scores = class_scores(answer)
    classes = resolved(scores, classes)
    own = of_class(scores, classes)
    count = min(RIVALS, scores.shape[-1] - 1)
    if count == 0:
        return own
    itself = ops.one_hot(classes[:, 0], scores.shape[-1]) > 0
    distance = ops.where(itself, np.inf, ops.abs(scores - own[:, None]))
    _, nearest = ops.top_k(-distance, count)
    return own - ops.mean(ops.take_along_axis(scores, nearest, axis=-1), axis=-1)


def of_class(scores, classes):
    """`(B, C), (B, 1) -> (B,)`."""
    chosen = ops.arange(scores.shape[-1], dtype=classes.dtype) == classes
    return ops.sum(ops.where(chosen, scores, 0.0), axis=-1)

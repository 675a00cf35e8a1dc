"""What a loss on labelled batches is given: anchors, candidates, their labels; and checks of it."""

from typing import NamedTuple

from keras import ops

from keras_metric import distances

__all__ = ["Batch", "has_needed", "refuse_none", "rows_of", "slices"]


class Batch(NamedTuple):
    """Anchors (A, D) and candidates (C, D), with their labels as `as_labels` reads them.

    offset: the candidate that is anchor 0 itself, None when no anchor is among the candidates.
    mates: (A, M) int32 candidates of the anchor's class, for a loss that asks for them.
    """

    anchors: object
    words: object
    candidates: object
    candidate_words: object
    offset: object
    mates: object = None

    def is_whole(self) -> bool:
        """Whether every candidate is an anchor."""
        return self.candidates is self.anchors


def refuse_none(anchors, candidates) -> None:
    if candidates.shape[0] == 0 and anchors.shape[0] != 0:
        raise ValueError(
            "There is nothing to compare with. Expected at least one candidate. Received: 0."
        )


def has_needed(pairs, needs):
    """(A,) bool: whether the anchor has the pairs that a loss needs, see `PairLoss.needs`."""
    positive, negative = ops.any(pairs.positives, axis=1), ops.any(pairs.negatives, axis=1)
    if needs == "positive":
        return positive
    return (ops.logical_and if needs == "both" else ops.logical_or)(positive, negative)


def slices(tensor, size):
    """A function from a start to `size` rows of (A, W), which may run over the end."""
    width = tensor.shape[1]
    padded = ops.concatenate([tensor, ops.zeros((size, width), tensor.dtype)], axis=0)
    places = ops.arange(size, dtype="int32")
    return lambda start: ops.take(padded, places + start, axis=0)


def rows_of(embeddings):
    embeddings = distances.precise(embeddings)
    if len(embeddings.shape) == 2:
        return embeddings
    raise ValueError(
        "Embeddings have the wrong shape. Expected one row a sample, (B, D). "
        f"Received: shape {tuple(embeddings.shape)}"
    )

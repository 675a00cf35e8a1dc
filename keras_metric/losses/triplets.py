"""Triplet losses on labelled batches: which negative goes with which positive.

Everything is found row by row in the distances: memory O(B^2), never a cube of triplets.
"""

from collections.abc import Callable

import numpy as np
from keras import ops

from keras_metric.arguments import serializable
from keras_metric.losses._base import PairLoss
from keras_metric.pairs import Pairs, count_below, masked_max, masked_mean, masked_min

__all__ = ["TripletLoss"]

FEW = 8  # positives an anchor up to which a pass for each beats sorting the row


@serializable
class TripletLoss(PairLoss):
    """Each positive nearer than the negatives, by a margin; the mean over anchors that have both.

        max(0, d(a, p) - d(a, n) + margin)          soft: log(1 + exp(d(a, p) - d(a, n)))

    mining, for an anchor a:
      "semi_hard"      mean over its positives p, each with the nearest n farther than p; when there
                       is none, with the farthest n. Schroff et al., "FaceNet", 2015,
                       arXiv:1503.03832, section 3.2
      "hard"           the farthest p and the nearest n. Hermans et al., "In defense of the triplet
                       loss", 2017, arXiv:1703.07737, eq. 5
      "all"            mean over the triplets of a that are not yet satisfied. The same, eq. 6
      "easy_positive"  the nearest p and the nearest n. Xuan et al., "Improved embeddings with easy
                       positive triplet mining", 2020, arXiv:1904.04370
    swap takes d(p, n) for d(a, n) where it is smaller, for "hard" and "easy_positive". Balntas et
    al., "Learning local feature descriptors with triplets", BMVC 2016.
    soft replaces the hinge and its margin by the softplus (the same, section 2); not with "all",
    where it would cost the cube. Time O(B^2 log B) at most, memory O(B^2).

    Raises ValueError for an unknown mining, soft with "all", swap with "semi_hard" or "all".
    """

    def __init__(
        self,
        margin: float = 0.2,
        mining: str = "semi_hard",
        *,
        distance: str | Callable = "euclidean",
        soft: bool = False,
        swap: bool = False,
        **options,
    ):
        super().__init__(distance=distance, **options)
        if mining not in _MINING:
            raise ValueError(
                f"Unknown mining. Expected one of {', '.join(_MINING)}. Received: mining={mining!r}"
            )
        if soft and mining == "all":
            raise ValueError(
                "The soft margin over all triplets costs the cube of the batch. Expected soft=True "
                "with mining 'semi_hard', 'hard' or 'easy_positive'. Received: mining='all'"
            )
        if swap and mining not in ("hard", "easy_positive"):
            raise ValueError(
                "swap chooses between two nearest negatives. Expected mining 'hard' or "
                f"'easy_positive' with swap=True. Received: mining={mining!r}"
            )
        self.margin = margin
        self.mining = mining
        self.soft = soft
        self.swap = swap
        if swap:
            self.context = _nearest_negatives

    def values(self, pairs, context=None):
        if self.swap:
            return self._swapped(pairs, context[:, 0])
        return _MINING[self.mining](pairs, self._violation, self.margin)

    def _swapped(self, pairs, nearest_of_candidates):
        """The anchor's one positive, and the nearer of their two nearest negatives."""
        d, positives, negatives = pairs
        extreme = masked_max if self.mining == "hard" else masked_min
        positive = extreme(d, positives)
        is_it = ops.logical_and(positives, d == positive[:, None])
        of_positive = masked_min(ops.broadcast_to(nearest_of_candidates[None], ops.shape(d)), is_it)
        return self._violation(positive - ops.minimum(masked_min(d, negatives), of_positive))

    def _violation(self, gap):
        return ops.softplus(gap) if self.soft else ops.relu(gap + self.margin)


def semi_hard(pairs: Pairs, violation: Callable, _):
    """Mean over positives of the violation by the nearest negative beyond the positive.

    Few positives an anchor: one pass over the row for each. Many: the row sorted once.
    """
    most = ops.max(ops.sum(ops.cast(pairs.positives, "int32"), axis=1))
    return ops.cond(
        most <= FEW,
        lambda: _semi_hard_of_few(pairs, violation, most),
        lambda: _semi_hard_of_many(pairs, violation),
    )


def hard(pairs: Pairs, violation: Callable, _):
    """Violation by the farthest positive and the nearest negative."""
    d, positives, negatives = pairs
    return violation(masked_max(d, positives) - masked_min(d, negatives))


def easy_positive(pairs: Pairs, violation: Callable, _):
    """Violation by the nearest positive and the nearest negative."""
    d, positives, negatives = pairs
    return violation(masked_min(d, positives) - masked_min(d, negatives))


def all_triplets(pairs: Pairs, _, margin: float):
    """Mean of the hinges above 0: by sorting, counting and prefix sums.

    For a positive at distance t - margin the negatives nearer than t are the first `count` in
    order, and their hinges add up to count · t minus the sum of their distances.
    """
    d, positives, negatives = pairs
    order = ops.argsort(ops.where(negatives, ops.stop_gradient(d), np.inf), axis=1)
    is_negative = ops.take_along_axis(negatives, order, axis=1)
    in_order = ops.take_along_axis(d, order, axis=1)
    sums = ops.cumsum(ops.where(is_negative, in_order, 0), axis=1)
    reach = d + margin
    count = count_below(ops.where(is_negative, in_order, np.inf), reach, strictly=True)
    sum_below = ops.take_along_axis(sums, ops.maximum(count - 1, 0), axis=1)
    count = ops.cast(count, d.dtype)
    hinges = ops.where(positives, ops.relu(count * reach - ops.where(count > 0, sum_below, 0)), 0)
    active = ops.sum(ops.where(positives, count, 0), axis=1)
    return ops.sum(hinges, axis=1) / ops.maximum(active, 1)


_MINING = {
    "semi_hard": semi_hard,
    "hard": hard,
    "all": all_triplets,
    "easy_positive": easy_positive,
}


def _nearest_negatives(pairs: Pairs):
    """(C, 1): each candidate's distance to its nearest negative, a huge one when it has none."""
    nearest = masked_min(pairs.distances, pairs.negatives)
    return ops.where(ops.any(pairs.negatives, axis=1), nearest, 1e30)[:, None]


def _semi_hard_of_few(pairs, violation, most):
    d, positives, negatives = pairs
    width = d.shape[1]
    slots = ops.minimum(FEW, ops.shape(d)[1]) if width is None else min(FEW, width)
    filled, columns = ops.top_k(ops.cast(positives, "float32"), slots)
    columns = ops.cast(columns, "int32")
    limits = ops.take_along_axis(ops.stop_gradient(d), columns, axis=1)
    away = ops.where(negatives, ops.stop_gradient(d), np.inf)
    farthest = ops.argmax(ops.where(negatives, ops.stop_gradient(d), -np.inf), axis=1)
    slot_numbers = ops.arange(slots, dtype="int32")[None]

    def next_slot(slot, chosen):
        limit = ops.take(limits, slot, axis=1)[:, None]
        beyond = ops.where(away > limit, away, np.inf)
        nearest = ops.argmin(beyond, axis=1)
        exists = ops.take_along_axis(beyond, nearest[:, None], axis=1)[:, 0] < np.inf
        nearest = ops.cast(ops.where(exists, nearest, farthest), "int32")
        return slot + 1, ops.where(slot_numbers == slot, nearest[:, None], chosen)

    _, chosen = ops.while_loop(
        lambda slot, _: slot < most, next_slot, (ops.zeros((), "int32"), ops.zeros_like(columns))
    )
    chosen = ops.take_along_axis(d, ops.concatenate([columns, chosen], axis=1), axis=1)
    return masked_mean(violation(chosen[:, :slots] - chosen[:, slots:]), filled > 0)


def _semi_hard_of_many(pairs, violation):
    d, positives, negatives = pairs
    away = ops.where(negatives, ops.stop_gradient(d), np.inf)
    order = ops.argsort(away, axis=1)
    in_order = ops.take_along_axis(away, order, axis=1)
    nearer = count_below(in_order, ops.stop_gradient(d), strictly=False)
    last = ops.sum(ops.cast(negatives, "int32"), axis=1, keepdims=True) - 1
    chosen = ops.take_along_axis(order, ops.clip(nearer, 0, ops.maximum(last, 0)), axis=1)
    return masked_mean(violation(d - ops.take_along_axis(d, chosen, axis=1)), positives)

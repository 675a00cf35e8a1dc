"""The triplet loss on labeled batches: which negative is combined with which positive.

Triplets are selected row by row from the distances: memory O(B^2), never all B^3 triplets.
"""

from collections.abc import Callable

import numpy as np
from keras import ops

from keras_metric import distances
from keras_metric.arguments import number, serializable
from keras_metric.losses._base import PairLoss, has_needed
from keras_metric.losses._few_positives import TIERS, FewPositives, by_pairs
from keras_metric.numerics.operations import at_least, take_columns, take_rows, where
from keras_metric.pairs import (
    Pairs,
    count_below,
    masked_max,
    masked_mean,
    masked_min,
    nearest_negative,
)

__all__ = ["TripletLoss"]

MINING = ("semi_hard", "hardest_semi_hard", "hard", "easy_positive", "all")
SHORT = 512  # candidates; a pass over fewer costs less than a branch around it


@serializable
class TripletLoss(PairLoss):
    """Each positive must be nearer than the negatives by a margin; mean over anchors with both.

        max(0, d(a, p) - d(a, n) + margin)          soft: log(1 + exp(d(a, p) - d(a, n)))

    mining, for an anchor a:
      "semi_hard"      mean over its positives p, each with the nearest n farther than p; when there
                       is none, with the farthest n. Schroff et al., "FaceNet", 2015,
                       arXiv:1503.03832, section 3.2
      "hardest_semi_hard"  the farthest p alone, with the nearest n farther than it; when there is
                       none, with the farthest n: what TensorFlow Similarity calls semi-hard
      "hard"           the farthest p and the nearest n. Hermans et al., "In defense of the triplet
                       loss", 2017, arXiv:1703.07737, eq. 5
      "all"            mean over the triplets of a that are not yet satisfied. The same, eq. 6
      "easy_positive"  the nearest p and the nearest n. Xuan et al., "Improved embeddings with easy
                       positive triplet mining", 2020, arXiv:1904.04370
    swap uses d(p, n) instead of d(a, n) where it is smaller, for "hard" and "easy_positive".
    Balntas et al., "Learning local feature descriptors with triplets", BMVC 2016.
    soft replaces the hinge and its margin by the softplus (the same, section 2); not with "all",
    where it would take O(B^3). Time O(B^2 log B) at most, memory O(B^2).

    Raises ValueError for an unknown mining, soft with "all", swap with another mining than its two.
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
        if mining not in MINING:
            raise ValueError(
                f"Unknown mining. Expected: one of {', '.join(MINING)}. Received: mining={mining!r}"
            )
        if soft and mining == "all":
            raise ValueError(
                "The soft margin over all triplets costs the cube of the batch. Expected: "
                f"soft=True with mining {', '.join(MINING[:-1])}. Received: mining='all'"
            )
        if swap and mining not in ("hard", "easy_positive"):
            raise ValueError(
                "swap chooses between two nearest negatives. Expected: mining 'hard' or "
                f"'easy_positive' with swap=True. Received: mining={mining!r}"
            )
        self.margin = number("margin", margin, least=0)
        self.mining = mining
        self.soft = soft
        self.swap = swap
        self.few_positives_from = None if mining in COLUMNS else 0

    def values(self, pairs, nearest_negatives=None):
        """Distances to positives and to the negative of each, the violation, the hinge."""
        if self.mining == "all":
            return all_triplets(pairs, self.margin)
        to_positives, to_negatives, are_triplets = DISTANCES[self.mining](pairs)
        if self.swap:
            of_positives = _at_positives(pairs, to_positives, nearest_negatives)
            to_negatives = ops.minimum(to_negatives, of_positives)
        return self.of_triplets(to_positives, to_negatives, are_triplets)

    def of_triplets(self, to_positives, to_negatives, are_triplets):
        """(A, S) distances and which of the triplets there are -> the mean hinge of each anchor."""
        violation = to_positives - to_negatives
        hinge = ops.softplus(violation) if self.soft else ops.relu(violation + self.margin)
        return masked_mean(hinge, are_triplets)

    @property
    def looks_beyond_row(self):
        return self.swap

    def context(self, pairs):
        """(C, 1): each candidate's distance to its nearest negative, for `swap`."""
        return nearest_negative(pairs)

    # For speed: the same triplets as columns of the pairs, then their distances. Columns have no
    # gradient, so that the backward pass meets nothing of size A x C where the distances of the
    # chosen rows are measured again from the embeddings.

    def fast_values(self, pairs):
        if self.mining in COLUMNS:
            return self._of_columns(pairs, COLUMNS[self.mining](pairs))
        if isinstance(pairs, FewPositives):
            return self._of_few(pairs)
        if self.multi_label:  # whose classes are no runs of the sorted labels
            return by_pairs(pairs, self._of_few, self.values)
        return self.values(pairs)

    def _of_few(self, pairs: FewPositives):
        """The same of pairs whose few positives were taken out: one pass over the row for each."""
        if self.mining == "all":
            return all_triplets_of_few(pairs, self.margin)
        to_positives, are_positives = pairs.to_positives()
        columns = _nearest_beyond(pairs, -to_positives, are_positives)
        to_negatives = take_columns(pairs.distances, columns)
        return self.of_triplets(to_positives, to_negatives, are_positives)

    def _of_columns(self, pairs, columns):
        """The values of triplets given as columns (A, 2 S), positives first, -1 for none."""
        return self._of_both(take_columns(pairs.distances, at_least(columns, 0)), columns)

    def _of_both(self, distances, columns):
        to_positives, to_negatives = ops.split(distances, 2, axis=1)
        return self.of_triplets(to_positives, to_negatives, ops.split(columns >= 0, 2, axis=1)[0])

    def _counted(self, batch):
        if self.fast and self.mining in COLUMNS and not self.swap and self._pays(batch):
            return self._measured_again(batch)
        return super()._counted(batch)

    def _of_few_positives(self, batch):
        if self.mining == "semi_hard" and self._pays(batch):
            return self._measured_again(batch)
        return super()._of_few_positives(batch)

    def _pays(self, batch):
        """Whether measuring the chosen rows again costs less than a gradient through all pairs."""
        if not distances.is_named(self._distance):
            return False
        count, width = batch.candidates.shape
        rows = 2 * (TIERS[0] if self.mining == "semi_hard" else 1)
        return (
            None in (count, width) or 2 * count >= rows * width or self.rows_per_block is not None
        )

    def _measured_again(self, batch):
        """Values and counts (A,), with gradient through the distances of the chosen rows alone."""
        chosen = self._by_rows(self._chosen, _without_gradient(batch), dtype="int32")
        columns, counts = chosen[:, :-1], chosen[:, -1] > 0
        rows = take_rows(_with_dense_gradient(batch.candidates), at_least(columns, 0))
        d = distances.paired(self._distance)(ops.expand_dims(batch.anchors, 1), rows)
        return where(counts, self._of_both(d, columns), 0), counts

    def _chosen(self, batch):
        """The columns of some anchors' triplets, and as a last one whether the anchor counts."""
        ranked = distances.ranking(self._distance) if self._miner is None else self._distance
        pairs = self._pairs(batch, ranked)
        if self.mining == "semi_hard":
            columns = semi_hard_columns(pairs, batch.same_class)
        else:
            columns = COLUMNS[self.mining](pairs)
        counts = ops.cast(has_needed(pairs, self.needs), "int32")
        return ops.concatenate([columns, counts[:, None]], axis=1)


def semi_hard(pairs: Pairs):
    """All positives (A, C), and the nearest negative beyond each; the farthest if there is none."""
    d, positives, negatives = pairs
    away = where(negatives, ops.stop_gradient(d), np.inf)
    order = ops.argsort(away, axis=1)
    nearer = count_below(take_columns(away, order), ops.stop_gradient(d), strictly=False)
    last = ops.sum(ops.cast(negatives, "int32"), axis=1, keepdims=True) - 1
    chosen = take_columns(order, ops.clip(nearer, 0, at_least(last, 0)))
    return d, take_columns(d, chosen), positives


def hardest_semi_hard(pairs: Pairs):
    """The farthest positive (A, 1), and the nearest negative beyond it, else the farthest one."""
    d, positives, negatives = pairs
    farthest = masked_max(d, positives)[:, None]
    beyond = ops.logical_and(negatives, d > farthest)
    negative = where(ops.any(beyond, axis=1), masked_min(d, beyond), masked_max(d, negatives))
    return farthest, negative[:, None], ops.any(positives, axis=1)[:, None]


def hard(pairs: Pairs):
    """The farthest positive and the nearest negative, (A, 1) each."""
    d, positives, negatives = pairs
    extremes = masked_max(d, positives), masked_min(d, negatives), ops.any(positives, axis=1)
    return tuple(extreme[:, None] for extreme in extremes)


def easy_positive(pairs: Pairs):
    """The nearest positive and the nearest negative, (A, 1) each."""
    d, positives, negatives = pairs
    extremes = masked_min(d, positives), masked_min(d, negatives), ops.any(positives, axis=1)
    return tuple(extreme[:, None] for extreme in extremes)


DISTANCES = {  # to positives, to the negative of each, and which of these triplets there are
    "semi_hard": semi_hard,
    "hardest_semi_hard": hardest_semi_hard,
    "hard": hard,
    "easy_positive": easy_positive,
}


def all_triplets(pairs: Pairs, margin: float):
    """Mean of the hinges above 0, (A,), by sorting, counting and prefix sums instead of the cube.

    With n_p negatives within the reach d_p + margin of a positive p, the hinges add up to the sum
    over p of n_p (d_p + margin), minus d of each negative as often as it is within reach. Those
    within reach are the first in order.
    """
    d, positives, negatives = pairs
    order = ops.argsort(where(negatives, ops.stop_gradient(d), np.inf), axis=1)
    is_negative = take_columns(negatives, order)
    in_order = take_columns(d, order)
    sums = ops.cumsum(where(is_negative, in_order, 0), axis=1)
    reach = d + margin
    count = count_below(where(is_negative, in_order, np.inf), reach, strictly=True)
    sum_below = take_columns(sums, at_least(count - 1, 0))
    count = ops.cast(count, d.dtype)
    hinges = where(positives, ops.relu(count * reach - where(count > 0, sum_below, 0)), 0)
    active = ops.sum(where(positives, count, 0), axis=1)
    return ops.sum(hinges, axis=1) / at_least(active, 1)


def all_triplets_of_few(pairs: FewPositives, margin: float):
    """The same for few positives: one pass over the row counts for each."""
    d, _, negatives = pairs
    to_positives, are_positives = pairs.to_positives()
    reach = to_positives + margin
    away = where(negatives, ops.stop_gradient(d), np.inf)
    limits = where(are_positives, ops.stop_gradient(reach), -np.inf)
    within = [
        ops.cast(away < limits[:, slot : slot + 1], d.dtype) for slot in range(limits.shape[1])
    ]
    counts = ops.stack([ops.sum(one, axis=1) for one in within], axis=1)
    total = ops.sum(counts * reach, axis=1) - ops.sum(sum(within) * d, axis=1)
    return ops.relu(total) / at_least(ops.sum(counts, axis=1), 1)


def semi_hard_columns(pairs: Pairs, columns):
    """(A, 2 S): the positives among the columns (A, S), and each one's nearest negative beyond."""
    places = at_least(columns, 0)
    filled = ops.logical_and(columns >= 0, take_columns(pairs.positives, places))
    near = take_columns(-pairs.distances, places)
    triplets = ops.concatenate([columns, _nearest_beyond(pairs, near, filled)], axis=1)
    return where(ops.concatenate([filled, filled], axis=1), triplets, -1)


def hardest_semi_hard_columns(pairs: Pairs):
    """(A, 2): the farthest positive, and its nearest negative beyond it."""
    far, column = _largest(pairs.distances, pairs.positives)
    negative = _nearest_beyond(pairs, -far, ops.ones_like(column, "bool"))
    return ops.concatenate([column, negative], axis=1)


def hard_columns(pairs: Pairs):
    """(A, 2): the farthest positive, the nearest negative."""
    d, positives, negatives = pairs
    return ops.concatenate([_largest(d, positives)[1], _largest(-d, negatives)[1]], axis=1)


def easy_positive_columns(pairs: Pairs):
    """(A, 2): the nearest positive, the nearest negative."""
    near = -pairs.distances
    columns = [_largest(near, mask)[1] for mask in (pairs.positives, pairs.negatives)]
    return ops.concatenate(columns, axis=1)


COLUMNS = {
    "hardest_semi_hard": hardest_semi_hard_columns,
    "hard": hard_columns,
    "easy_positive": easy_positive_columns,
}


def _nearest_beyond(pairs, near, filled):
    """(A, S): the nearest negative less near than each of (A, S); the farthest if there is none.

    Where `filled` is False any column will do.
    """
    negatives = where(pairs.negatives, -pairs.distances, -np.inf)
    slots = [near[:, slot : slot + 1] for slot in range(near.shape[1])]
    found = [_largest(negatives, negatives < limit) for limit in slots]
    value, nearest = (ops.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
    exists = value > -np.inf

    def or_farthest():
        return where(exists, nearest, _largest(pairs.distances, pairs.negatives)[1])

    if (pairs.distances.shape[1] or SHORT) < SHORT:
        return or_farthest()
    found_all = ops.all(ops.logical_or(exists, ops.logical_not(filled)))
    return ops.cond(found_all, lambda: nearest, or_farthest)


def _largest(values, mask):
    """(A, 1) each: the largest chosen value of a row, -inf where none is chosen, and its column."""
    value, column = ops.top_k(where(mask, values, -np.inf), 1)
    return value, ops.cast(column, "int32")


def _at_positives(pairs, to_positives, nearest_negatives):
    """(A, 1): the nearest negative of the positive at the given distance, by (C, 1) of each."""
    of_candidates = ops.broadcast_to(nearest_negatives[:, 0][None], ops.shape(pairs.distances))
    is_it = ops.logical_and(pairs.positives, pairs.distances == to_positives)
    return masked_min(of_candidates, is_it)[:, None]


def _without_gradient(batch):
    anchors = ops.stop_gradient(batch.anchors)
    candidates = anchors if batch.is_whole() else ops.stop_gradient(batch.candidates)
    return batch._replace(anchors=anchors, candidates=candidates)


def _with_dense_gradient(rows):
    """The same rows; TensorFlow's gradient of a reshape is dense, that of a gather is not."""
    return ops.reshape(rows, ops.shape(rows))

"""Triplet losses on labelled batches: which negative goes with which positive.

Everything is found row by row in the distances: memory O(B^2), never a cube of triplets.
"""

from collections.abc import Callable

from keras import ops

from keras_metric.arguments import number, serializable
from keras_metric.losses import _mining
from keras_metric.losses._choice import ChoosingLoss
from keras_metric.pairs import Pairs, masked_max, masked_mean, masked_min

__all__ = ["TripletLoss"]

MINING = (*_mining.COLUMNS, "all")


@serializable
class TripletLoss(ChoosingLoss):
    """Each positive nearer than the negatives, by a margin; the mean over anchors that have both.

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
    swap takes d(p, n) for d(a, n) where it is smaller, for "hard" and "easy_positive". Balntas et
    al., "Learning local feature descriptors with triplets", BMVC 2016.
    soft replaces the hinge and its margin by the softplus (the same, section 2); not with "all",
    where it would cost the cube. Time O(B^2 log B) at most, memory O(B^2).

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
                f"Unknown mining. Expected one of {', '.join(MINING)}. Received: mining={mining!r}"
            )
        if soft and mining == "all":
            raise ValueError(
                "The soft margin over all triplets costs the cube of the batch. Expected soft=True "
                f"with mining {', '.join(_mining.COLUMNS)}. Received: mining='all'"
            )
        if swap and mining not in ("hard", "easy_positive"):
            raise ValueError(
                "swap chooses between two nearest negatives. Expected mining 'hard' or "
                f"'easy_positive' with swap=True. Received: mining={mining!r}"
            )
        self.margin = number("margin", margin, least=0)
        self.mining = mining
        self.soft = soft
        self.swap = swap
        self.chooses = mining != "all" and not swap
        self.tiers = _mining.TIERS if mining == "semi_hard" else ()
        if swap:
            self.context = _nearest_negatives

    def values(self, pairs, context=None):
        if self.swap:
            return self._swapped(pairs, context[:, 0])
        if self.mining == "all":
            return _mining.all_triplets(pairs, self.margin)
        if self.mining == "semi_hard":
            return _mining.by_positives(
                pairs,
                lambda mates: self.through_columns(pairs, mates),
                lambda: _mining.semi_hard_of_many(pairs, self._violation),
            )
        return self.through_columns(pairs, None)

    def columns(self, pairs, mates):
        return _mining.COLUMNS[self.mining](pairs, mates)

    def of_distances(self, d, filled):
        positive, negative = ops.split(d, 2, axis=1)
        return masked_mean(self._violation(positive - negative), ops.split(filled, 2, axis=1)[0])

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


def _nearest_negatives(pairs: Pairs):
    """(C, 1): each candidate's distance to its nearest negative, a huge one when it has none."""
    nearest = masked_min(pairs.distances, pairs.negatives)
    return ops.where(ops.any(pairs.negatives, axis=1), nearest, 1e30)[:, None]

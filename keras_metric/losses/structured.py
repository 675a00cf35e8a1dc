"""Losses that read more than the anchor's own row, such as the negatives of its positives.

The numbers that they need of each candidate are its `context`, computed once: see `PairLoss` in
`_base.py`.
"""

import math
from collections.abc import Callable

from keras import ops

from keras_metric.arguments import number, serializable
from keras_metric.distances import root
from keras_metric.losses._base import PairLoss
from keras_metric.numerics.blocks import map_rows
from keras_metric.numerics.operations import all_products
from keras_metric.pairs import (
    Pairs,
    masked_logsumexp,
    masked_max,
    masked_mean,
    masked_min,
    nearest_negative,
)

__all__ = [
    "AngularLoss",
    "GeneralizedLiftedStructureLoss",
    "LiftedStructureLoss",
    "QuadrupletLoss",
    "TupletMarginLoss",
]


@serializable
class LiftedStructureLoss(PairLoss):
    """A positive pair against all negatives of both of its samples.

        J_ap = log(sum over negatives of a of exp(margin - d_an)
                 + sum over negatives of p of exp(margin - d_pn)) + d_ap
        mean over p of max(0, J_ap)^2 / 2

    Song et al., "Deep metric learning via lifted structured feature embedding", CVPR 2016,
    arXiv:1511.06452, eq. 4. Time and memory O(B^2).
    """

    looks_beyond_row = True

    def __init__(self, margin: float = 1.0, **options):
        super().__init__(**options)
        self.margin = number("margin", margin, least=0)

    def context(self, pairs: Pairs):
        """(C, 1): log sum exp(margin - d) over the candidate's negatives."""
        return self._repulsion(pairs)[:, None]

    def values(self, pairs, context):
        own = self._repulsion(pairs)[:, None]
        lifted = ops.logaddexp(own, context[:, 0][None]) + pairs.distances
        return masked_mean(ops.square(ops.relu(lifted)), pairs.positives) / 2

    def _repulsion(self, pairs):
        return self.margin + masked_logsumexp(pairs.distances, pairs.negatives, -1)


@serializable
class GeneralizedLiftedStructureLoss(PairLoss):
    """All positives of an anchor against all its negatives.

        max(0, log sum_p exp(d_p) + log sum_n exp(margin - d_n))

    Hermans et al., "In defense of the triplet loss", 2017, arXiv:1703.07737, section 2.
    """

    few_positives_from = 1024

    def __init__(self, margin: float = 1.0, **options):
        super().__init__(**options)
        self.margin = number("margin", margin, least=0)

    def values(self, pairs):
        d, positives = pairs.to_positives()
        repulsion = self.margin + masked_logsumexp(pairs.distances, pairs.negatives, -1)
        return ops.relu(masked_logsumexp(d, positives) + repulsion)


@serializable
class QuadrupletLoss(PairLoss):
    """The farthest positive against the nearest negative, and against the nearest other negatives.

        max(0, d(a, p) - d(a, n) + margin) + max(0, d(a, p) - d(n1, n2) + second_margin)

    n1 has another class than a, n2 another class than n1, and d(n1, n2) is the least. In the paper
    n2 also has another class than a; here it may have the same. The paper's distances are squared:
    distance="squared_euclidean".
    Chen et al., "Beyond triplet loss: a deep quadruplet network", CVPR 2017, arXiv:1704.01719.
    """

    looks_beyond_row = True

    def __init__(self, margin: float = 1.0, second_margin: float = 0.5, **options):
        super().__init__(**options)
        self.margin = number("margin", margin, least=0)
        self.second_margin = number("second_margin", second_margin, least=0)

    def context(self, pairs: Pairs):
        """(C, 1): the distance to the candidate's nearest negative, huge if it has none."""
        return nearest_negative(pairs)

    def values(self, pairs, context):
        d, positives, negatives = pairs
        far = masked_max(d, positives)
        near = masked_min(d, negatives)
        others = masked_min(ops.broadcast_to(context[:, 0][None], ops.shape(d)), negatives)
        first = ops.relu(far - near + self.margin)
        return first + ops.relu(far - others + self.second_margin)


@serializable
class AngularLoss(PairLoss):
    """The angle at the negative of a triangle (a, p, n) must be at most `angle` degrees.

        mean over p of log(1 + sum_n exp(4 t (a + p)·n - 2 (1 + t) a·p)),   t = tan(angle)^2

    on unit vectors, so the distance is "cosine". Time O(A C^2), as one matrix product. The context
    has one row per candidate; with rows_per_block it is recomputed for each block of anchors.
    Wang et al., "Deep metric learning with angular loss", ICCV 2017, arXiv:1708.01682.

    Raises ValueError for an angle outside (0, 60]: the exponentials stay in range below it.
    """

    looks_beyond_row = True

    def __init__(self, angle: float = 40.0, **options):
        options = {"distance": "cosine", **options}
        super().__init__(**options)
        if self.distance != "cosine":
            raise ValueError(
                "AngularLoss is defined on unit vectors. Expected: distance='cosine'. "
                f"Received: distance={self.distance!r}"
            )
        self.angle = number("angle", angle, above=0, most=60)

    @property
    def _slope(self):
        return math.tan(math.radians(self.angle)) ** 2

    def context(self, pairs: Pairs):
        """(C, C): exp(4 t cos) of each candidate with each candidate."""
        return ops.exp(4 * self._slope * (1 - pairs.distances))

    def values(self, pairs, context):
        return self._of_sums(pairs, all_products(self._powers(pairs), context))

    def _powers(self, pairs):
        """(A, C): exp(4 t cos) of each anchor with its negatives, 0 elsewhere."""
        return ops.where(pairs.negatives, ops.exp(4 * self._slope * (1 - pairs.distances)), 0)

    def _of_sums(self, pairs, sums):
        """The values by the (A, C) sums over n of exp(4 t (a + p)·n)."""
        log_sums = ops.log(ops.where(sums > 0, sums, 1))
        terms = ops.softplus(log_sums - 2 * (1 + self._slope) * (1 - pairs.distances))
        return masked_mean(ops.where(sums > 0, terms, 0), pairs.positives)

    def _with_context(self, batch):
        """With rows_per_block, the context a block at a time, too: no (C, C) numbers at once."""
        if self.rows_per_block is None:
            return super()._with_context(batch)

        def of_rows(rows):
            pairs = self._pairs(rows)
            sums = self._sums_in_blocks(self._powers(pairs), rows.candidates)
            return self._where_counted(self._of_sums(pairs, sums), pairs, rows)

        return self._in_blocks(of_rows, batch)

    def _sums_in_blocks(self, powers, candidates):
        """(A, C), (C, D) -> (A, C): the products of the powers with the context."""
        width = candidates.shape[1]

        def of_block(start, rows, shared):
            d = self._distance(rows, shared[:, :width])
            context = ops.exp(4 * self._slope * (1 - d))
            return all_products(context, ops.transpose(shared[:, width:]))

        shared = ops.concatenate([candidates, ops.transpose(powers)], axis=1)
        sums = map_rows(of_block, candidates, shared, rows_per_block=self.rows_per_block)
        return ops.transpose(sums)


@serializable
class TupletMarginLoss(PairLoss):
    """A positive against all negatives, its angle reduced by a slack.

        mean over p of log(1 + sum_n exp(scale (cos(an) - cos(ap - slack))))

    slack is in degrees; embeddings have unit length, so that the cosine is s = 1 - d.
    Yu, Tao, "Deep metric learning with tuplet margin loss", ICCV 2019.
    """

    def __init__(
        self,
        slack: float = 5.73,
        scale: float = 64.0,
        *,
        distance: str | Callable = "cosine",
        **options,
    ):
        super().__init__(distance=distance, **options)
        self.slack = number("slack", slack, least=0, below=90)
        self.scale = number("scale", scale, above=0)

    def values(self, pairs):
        d, positives, negatives = pairs
        cosine, slack = 1 - d, math.radians(self.slack)
        sine = root(1 - ops.square(ops.clip(cosine, -1, 1)))
        relaxed = cosine * math.cos(slack) + sine * math.sin(slack)
        others = masked_logsumexp(self.scale * cosine, negatives)[:, None]
        return masked_mean(ops.softplus(others - self.scale * relaxed), positives)

"""Losses of a softmax over the candidates, whose targets are the anchor's positives.

The logits are -d / temperature: with the distance "cosine" the softmax is that of
cos / temperature, since adding 1 to every logit changes nothing.
"""

from collections.abc import Callable

from keras import ops

from keras_metric.arguments import number, serializable
from keras_metric.losses._base import PairLoss
from keras_metric.numerics.operations import softplus
from keras_metric.pairs import masked_logsumexp, masked_mean

__all__ = ["InfoNCELoss", "NCALoss", "NPairsLoss", "SupConLoss"]


LONG = 256  # candidates; the softplus of every pair in rows of more costs most of the loss


@serializable
class InfoNCELoss(PairLoss):
    """Each positive against all the anchor's negatives; NT-Xent if a class is two views.

        mean over p of -log(exp(-d_p / t) / (exp(-d_p / t) + sum_n exp(-d_n / t)))

    t is the temperature. van den Oord et al., 2018, arXiv:1807.03748, eq. 4; Chen et al., "SimCLR",
    2020, arXiv:2002.05709, eq. 1.
    """

    few_positives_from = LONG

    def __init__(self, temperature: float = 0.1, *, distance: str | Callable = "cosine", **options):
        super().__init__(distance=distance, **options)
        self.temperature = number("temperature", temperature, above=0)

    def values(self, pairs):
        d, positives = pairs.to_positives()
        t = self.temperature
        negatives = masked_logsumexp(pairs.distances, pairs.negatives, -1 / t)
        return masked_mean(softplus(negatives[:, None] + d / t), positives)


@serializable
class NPairsLoss(PairLoss):
    """Each positive against all negatives by inner products, embeddings of any length.

        mean over p of log(1 + sum_n exp(a·n - a·p))

    The model must limit the norms: activity_regularizer="l2" on the last layer is the term of the
    paper. Sohn, "Improved deep metric learning with multi-class N-pair loss", NIPS 2016.
    """

    few_positives_from = LONG

    def __init__(self, *, distance: str | Callable = "negative_dot", **options):
        super().__init__(distance=distance, **options)

    def values(self, pairs):
        d, positives = pairs.to_positives()
        negatives = masked_logsumexp(pairs.distances, pairs.negatives, -1)
        return masked_mean(softplus(negatives[:, None] + d), positives)


@serializable
class SupConLoss(PairLoss):
    """Each positive against all other samples, including the other positives.

        mean over p of -log(exp(-d_p / t) / sum over all others of exp(-d / t))

    Khosla et al., "Supervised contrastive learning", 2020, arXiv:2004.11362, eq. 2 (L_out).
    """

    needs = "positive"
    few_positives_from = 1024

    def __init__(self, temperature: float = 0.1, *, distance: str | Callable = "cosine", **options):
        super().__init__(distance=distance, **options)
        self.temperature = number("temperature", temperature, above=0)

    def values(self, pairs):
        d, positives, negatives = pairs
        t = self.temperature
        others = masked_logsumexp(d, ops.logical_or(positives, negatives), -1 / t)
        d, positives = pairs.to_positives()
        return others + masked_mean(d, positives) / t


@serializable
class NCALoss(PairLoss):
    """The probability that the soft nearest neighbor has the anchor's class.

        -log(sum_p exp(-d / t) / sum over all others of exp(-d / t))

    Goldberger et al., "Neighbourhood components analysis", NIPS 2004 (in logarithms); with a
    temperature: Frosst et al., "Soft nearest neighbor loss", 2019, arXiv:1902.01889, eq. 1.
    """

    needs = "positive"
    few_positives_from = 1024

    def __init__(
        self,
        temperature: float = 1.0,
        *,
        distance: str | Callable = "squared_euclidean",
        **options,
    ):
        super().__init__(distance=distance, **options)
        self.temperature = number("temperature", temperature, above=0)

    def values(self, pairs):
        d, positives = pairs.to_positives()
        t = self.temperature
        negatives = masked_logsumexp(pairs.distances, pairs.negatives, -1 / t)
        return ops.softplus(negatives - masked_logsumexp(d, positives, -1 / t))

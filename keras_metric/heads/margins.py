"""Softmax heads: the nearest weight vector gives the class; a margin lowers the true one's cosine.

With cos the cosine between embedding and class weights:

    -log softmax(scale · cos'),   cos' = cos, but for the true class with the head's margin
"""

import math

from keras import ops

from keras_metric.arguments import number, serializable, whole
from keras_metric.distances import root
from keras_metric.heads._base import Head, SoftmaxLoss

__all__ = ["ArcFace", "CosFace", "NormalizedSoftmax", "SphereFace", "SubCenterArcFace"]


@serializable
class NormalizedSoftmax(Head):
    """No margin: cos' = cos.

    Zhai, Wu, "Classification is a strong baseline for deep metric learning", BMVC 2019,
    arXiv:1811.12649 (scale = 1 / temperature).
    """

    def __init__(self, classes: int, *, scale: float = 20.0, **options):
        super().__init__(classes, scale=scale, **options)

    def loss(self, **options):
        return CosFaceLoss(margin=0.0, scale=self.scale, **options)


@serializable
class CosFace(Head):
    """cos' = cos - margin.

    Wang et al., "CosFace", CVPR 2018, arXiv:1801.09414, eq. 4.
    """

    def __init__(self, classes: int, *, margin: float = 0.35, scale: float = 64.0, **options):
        super().__init__(classes, scale=scale, **options)
        self.margin = number("margin", margin, least=0)

    def loss(self, **options):
        return CosFaceLoss(margin=self.margin, scale=self.scale, **options)


@serializable
class ArcFace(Head):
    """cos' = cos(angle + margin), margin in radians.

    Beyond angle = pi - margin, where it would increase again, cos' = cos - margin · sin(margin).

    Deng et al., "ArcFace", CVPR 2019, arXiv:1801.07698, eq. 3.
    """

    def __init__(self, classes: int, *, margin: float = 0.5, scale: float = 64.0, **options):
        super().__init__(classes, scale=scale, **options)
        self.margin = number("margin", margin, least=0, below=math.pi)

    def loss(self, **options):
        return ArcFaceLoss(margin=self.margin, scale=self.scale, **options)


@serializable
class SubCenterArcFace(Head):
    """ArcFace with several centers a class, the nearest one counting: for noisy labels.

    Deng et al., "Sub-center ArcFace", ECCV 2020.
    """

    def __init__(
        self,
        classes: int,
        *,
        centers: int = 3,
        margin: float = 0.5,
        scale: float = 64.0,
        **options,
    ):
        super().__init__(classes, scale=scale, centers=centers, **options)
        self.margin = number("margin", margin, least=0, below=math.pi)

    def loss(self, **options):
        return ArcFaceLoss(margin=self.margin, scale=self.scale, **options)


@serializable
class SphereFace(Head):
    """cos' = (-1)^k cos(margin · angle) - 2k with k = floor(margin · angle / pi).

    margin is a whole number; the embedding has length `scale`, where the paper keeps its own.
    Liu et al., "SphereFace", CVPR 2017, arXiv:1704.08063, eq. 7.

    Raises ValueError for a margin that is not a whole number from 1 on.
    """

    def __init__(self, classes: int, *, margin: int = 4, scale: float = 30.0, **options):
        super().__init__(classes, scale=scale, **options)
        self.margin = whole("margin", margin)

    def loss(self, **options):
        return SphereFaceLoss(margin=self.margin, scale=self.scale, **options)


@serializable
class CosFaceLoss(SoftmaxLoss):
    """The loss of NormalizedSoftmax, CosFace and SoftTriple: cos' = cos - margin."""

    def __init__(self, *, margin: float, **options):
        super().__init__(**options)
        self.margin = margin

    def moved(self, cosines):
        return cosines - self.margin


@serializable
class ArcFaceLoss(SoftmaxLoss):
    """The loss of ArcFace and SubCenterArcFace: cos' = cos(angle + margin)."""

    def __init__(self, *, margin: float, **options):
        super().__init__(**options)
        self.margin = margin

    def moved(self, cosines):
        cos, sin = math.cos(self.margin), math.sin(self.margin)
        inside = ops.clip(cosines, -1, 1)
        turned = inside * cos - root(1 - ops.square(inside)) * sin
        return ops.where(inside > -cos, turned, cosines - sin * self.margin)


@serializable
class SphereFaceLoss(SoftmaxLoss):
    """The loss of SphereFace: cos' = (-1)^k cos(margin · angle) - 2k."""

    def __init__(self, *, margin: int, **options):
        super().__init__(**options)
        self.margin = margin

    def moved(self, cosines):
        inside = ops.clip(cosines, -1, 1)
        angle = ops.arccos(ops.stop_gradient(inside))
        k = ops.clip(ops.floor(self.margin * angle / math.pi), 0, self.margin - 1)
        sign = 1 - 2 * ops.mod(k, 2)
        return sign * _cosine_of_multiple(inside, self.margin) - 2 * k


def _cosine_of_multiple(cosine, times):
    """cos(times · angle) from cos(angle), by Chebyshev's recurrence: no arc cosine to derive."""
    before, now = ops.ones_like(cosine), cosine
    for _ in range(times - 1):
        before, now = now, 2 * cosine * now - before
    return now

"""The metric-learning losses of TensorFlow Addons 0.23, on Keras 3 and any backend.

    import keras_metric.compat.tfa as tfa          # was: import tensorflow_addons as tfa
    model.compile(loss=tfa.losses.TripletSemiHardLoss())

Names, arguments, defaults and values are those of TF Addons; docs/migration.md lists what differs:
an unknown keyword is an error, memory grows with B^2 instead of B^3, integer labels of any size
stay distinct, and values that were NaN (no positive pair, no negative, soft margin on long vectors)
are finite.
"""

from . import contrastive, lifted, losses, metric_learning, npairs, triplet
from .losses import *  # noqa: F403

__all__ = [
    *losses.__all__,
    "contrastive",
    "lifted",
    "losses",
    "metric_learning",
    "npairs",
    "triplet",
]

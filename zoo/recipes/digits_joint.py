"""Classification and semi-hard triplets at once, on handwritten digits; five digits unseen.

    keras-metric train digits-joint

Zhang, Zhou, Lin and Zhang, "Embedding Label Structures for Fine-Grained Feature Representation",
2016, arXiv:1512.02895, section 3.1: the softmax loss and the triplet loss of one network, weighed.
The classifier reads the features that the embedding reads, and serves training alone. Data and
measure are those of digits-triplet.
"""

from keras_metric.batches import PKBatches
from keras_metric.losses import TripletLoss
from zoo import objectives
from zoo.recipes import _digits


class Both(objectives.ForBoth, PKBatches):
    """P classes x K images, labelled twice."""


def objective(settings, encoder, split):
    loss = TripletLoss(settings["margin"])
    batches = objectives.labelled_batches(settings, split, augment=_digits.augment, batches=Both)
    return objectives.joint(settings, encoder, split, loss, below="embedding", batches=batches)


RECIPE = _digits.recipe(
    objective, {"margin": 0.2, "classification": 0.2}, data=_digits.numbered_classes
)

"""Classification and semi-hard triplets at once, on handwritten digits; five digits unseen.

    keras-metric train digits-joint

Zhang, Zhou, Lin and Zhang, "Embedding Label Structures for Fine-Grained Feature Representation",
2016, arXiv:1512.02895, section 3.1: the weighted sum of the softmax loss and the triplet loss.
The classifier uses the same features as the embedding and is only used in training. Data and
evaluation are those of digits-triplet.

Measured: 3 seeds, 20 epochs, 7.8 minutes on two cores in all: recall@1 0.9959 (0.9955 to
0.9967), recall@5 0.9985 (0.9978 to 0.9989), map@r 0.697 (0.6843 to 0.7064).
"""

from keras_metric.losses import TripletLoss
from zoo.recipes import _digits
from zoo.training import experiments


def experiment(settings, encoder, split):
    loss = TripletLoss(settings["margin"])
    return experiments.joint(
        settings, encoder, split, loss, below="embedding", augment=_digits.augment
    )


RECIPE = _digits.recipe(
    experiment, {"margin": 0.2, "classification": 0.2}, data=_digits.numbered_classes
)

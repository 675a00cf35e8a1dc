"""Each positive against all negatives of the batch, in a softmax, on digits; five of them unseen.

    keras-metric train digits-infonce

van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018,
arXiv:1807.03748, eq. 4, on the cosines of labeled images. It is the N-pair loss of Sohn, "Improved
Deep Metric Learning with Multi-class N-pair Loss Objective", 2016, for unit vectors, with a
temperature. Data and evaluation are those of digits-triplet.

Measured: 3 seeds, 20 epochs, 5.3 minutes on two cores in all: recall@1 0.994 (0.9933 to
0.9955), recall@5 0.9981 (0.9978 to 0.9989), map@r 0.6513 (0.6451 to 0.6549).
"""

from keras_metric.losses import InfoNCELoss
from zoo.recipes import _digits
from zoo.training import experiments


def experiment(settings, encoder, split):
    loss = InfoNCELoss(settings["temperature"])
    return experiments.labelled(settings, encoder, split, loss, augment=_digits.augment)


RECIPE = _digits.recipe(experiment, {"temperature": 0.1})

"""Each positive against all negatives of the batch, in a softmax, on digits; five of them unseen.

    keras-metric train digits-infonce

van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018,
arXiv:1807.03748, eq. 4, on the cosines of labelled images. It is the N-pair loss of Sohn, "Improved
Deep Metric Learning with Multi-class N-pair Loss Objective", 2016, for unit vectors, with a
temperature. Data and measure are those of digits-triplet.
"""

from keras_metric.losses import InfoNCELoss
from zoo.recipes import _digits
from zoo.training import experiments


def experiment(settings, encoder, split):
    loss = InfoNCELoss(settings["temperature"])
    return experiments.labelled(settings, encoder, split, loss, augment=_digits.augment)


RECIPE = _digits.recipe(experiment, {"temperature": 0.1})

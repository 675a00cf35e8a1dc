"""Proxy-Anchor on handwritten digits: a learnt vector stands for each class; five digits unseen.

    keras-metric train digits-proxy-anchor

Kim, Kim, Cho and Kwak, "Proxy Anchor Loss for Deep Metric Learning", 2020, arXiv:2003.13911, eq. 4.
The proxies serve training alone: the model is the encoder. Data and measure are those of
digits-triplet.
"""

from keras_metric.heads import ProxyAnchor
from zoo.recipes import _digits
from zoo.training import experiments


def experiment(settings, encoder, split):
    options = {"margin": settings["margin"], "scale": settings["scale"]}
    head = ProxyAnchor(len(split.train.names), **options)
    return experiments.headed(settings, encoder, split, head, augment=_digits.augment)


RECIPE = _digits.recipe(experiment, {"margin": 0.1, "scale": 16.0}, data=_digits.numbered_classes)

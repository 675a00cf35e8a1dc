"""Handwritten characters against a learned proxy of each class (ProxyAnchor); new alphabets.

    keras-metric train omniglot-proxy --seeds 3

Kim et al., "Proxy Anchor Loss for Deep Metric Learning", CVPR 2020, arXiv:2003.13911. Each of the
544 classes, characters and their quarter turns, has its own vector, which is not saved with the
encoder. Encoder, data and evaluation are those of omniglot-triplet.
"""

from dataclasses import replace

from keras_metric.heads import ProxyAnchor
from zoo.recipes import _omniglot
from zoo.recipes.omniglot_triplet import RECIPE as TRIPLET
from zoo.training import experiments


def experiment(settings, encoder, split):
    head = ProxyAnchor(len(split.train.names), margin=settings["margin"], scale=settings["scale"])
    return experiments.headed(settings, encoder, split, head, augment=_omniglot.augment)


_KEPT = {name: value for name, value in TRIPLET.settings.items() if name != "mining"}

RECIPE = replace(TRIPLET, settings={**_KEPT, "margin": 0.1, "scale": 32.0}, experiment=experiment)

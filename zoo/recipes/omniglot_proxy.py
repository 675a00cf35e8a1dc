"""Handwritten characters against a learned proxy of each class (ProxyAnchor); new alphabets.

    keras-metric train omniglot-proxy --seeds 3

Kim et al., "Proxy Anchor Loss for Deep Metric Learning", CVPR 2020, arXiv:2003.13911. Each of the
544 classes, characters and their quarter turns, has a vector of its own, which is left behind when
the encoder is saved. Encoder, data and measure are those of omniglot-triplet.
"""

import keras

from keras_metric.heads import ProxyAnchor
from zoo import encoders, objectives
from zoo.recipe import Recipe
from zoo.recipes import _omniglot


def build(settings, split):
    return encoders.build(
        "conv4", split.train.shape, embedding=settings["embedding"], normalize=True
    )


def objective(settings, encoder, split):
    classes = len(split.train.names)
    head = ProxyAnchor(classes, margin=settings["margin"], scale=settings["scale"])
    model = keras.Model(encoder.input, head(encoder.output))
    return objectives.labelled(settings, model, split, head.loss(), augment=_omniglot.augment)


RECIPE = Recipe(
    settings={
        "seed": 0,
        "background": "small1",
        "side": 28,
        "epochs": 30,
        "steps": 40,
        "classes": 16,
        "images": 8,
        "embedding": 64,
        "margin": 0.1,
        "scale": 32.0,
        "learning_rate": 2e-3,
    },
    data=_omniglot.unseen_alphabets,
    build=build,
    objective=objective,
    measure=_omniglot.measure,
    licence=_omniglot.LICENCE,
)

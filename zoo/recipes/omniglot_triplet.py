"""Triplet network on handwritten characters, semi-hard negatives mined in the batch; new alphabets.

    keras-metric train omniglot-triplet --seeds 3

Schroff, Kalenichenko and Philbin, "FaceNet", 2015, arXiv:1503.03832, section 3, with the encoder of
Vinyals et al., "Matching Networks for One Shot Learning", 2016, section 4.1. It is trained on the
5 alphabets of Omniglot's `images_background_small1`, whose quarter turns are classes of their own,
and evaluated by 20-way one-shot classification within the alphabets that only `small2` has.
Images are 28 x 28, ink white and centered, as `zoo.datasets.sources.omniglot.prepare` makes them.
"""

from keras_metric.losses import TripletLoss
from zoo import encoders
from zoo.recipe import Recipe
from zoo.recipes import _omniglot
from zoo.training import experiments


def build(settings, split):
    return encoders.build(
        "conv4", split.train.shape, embedding=settings["embedding"], normalize=True
    )


def experiment(settings, encoder, split):
    loss = TripletLoss(settings["margin"], mining=settings["mining"])
    return experiments.labelled(settings, encoder, split, loss, augment=_omniglot.augment)


RECIPE = Recipe(
    settings={
        "seed": 0,
        "background": "small1",
        "side": 28,
        "epochs": 30,
        "batches_per_epoch": 40,
        "classes_per_batch": 16,
        "images_per_class": 8,
        "embedding": 64,
        "margin": 0.2,
        "mining": "semi_hard",
        "learning_rate": 2e-3,
    },
    data=_omniglot.unseen_alphabets,
    build=build,
    experiment=experiment,
    measure=_omniglot.measure,
    license=_omniglot.LICENSE,
)

"""Siamese network on handwritten characters: Koch's convolutions, contrastive loss; new alphabets.

    keras-metric train omniglot-siamese --seeds 3

Koch, Zemel and Salakhutdinov, "Siamese Neural Networks for One-shot Image Recognition", 2015: their
convolutions, scaled to smaller images, with the contrastive loss of Hadsell, Chopra and LeCun,
2006, instead of their weighted L1 distance. Data and evaluation are those of omniglot-triplet.
"""

from zoo import encoders
from zoo.recipe import Recipe
from zoo.recipes import _omniglot
from zoo.training import experiments


def build(settings, split):
    return encoders.build(
        "koch",
        split.train.shape,
        embedding=settings["embedding"],
        activation="linear",
        normalize=True,
    )


def experiment(settings, encoder, split):
    return experiments.siamese(settings, encoder, split, augment=_omniglot.augment)


RECIPE = Recipe(
    settings={
        "seed": 0,
        "background": "small1",
        "side": 28,
        "epochs": 30,
        "batches_per_epoch": 40,
        "batch_size": 64,
        "embedding": 256,
        "positive_fraction": 0.25,
        "margin": 0.7,
        "learning_rate": 1e-3,
    },
    data=_omniglot.unseen_alphabets,
    build=build,
    experiment=experiment,
    measure=_omniglot.measure,
    license=_omniglot.LICENSE,
)

"""Siamese network on handwritten digits, contrastive loss on pairs; five digits unseen.

    keras-metric train digits-siamese

Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping", 2006.
Data and evaluation are those of digits-triplet: training on 0 to 4, retrieval among 5 to 9.

Measured: 3 seeds, 20 epochs, 3.3 minutes on two cores in all: recall@1 0.9881 (0.9866 to 0.99),
recall@5 0.9967 (0.9955 to 0.9978), map@r 0.5701 (0.5354 to 0.615).
"""

from zoo import encoders
from zoo.recipe import Recipe
from zoo.recipes import _digits
from zoo.training import experiments


def build(settings, split):
    return encoders.build("tiny", split.train.shape, embedding=settings["embedding"])


def experiment(settings, encoder, split):
    return experiments.siamese(settings, encoder, split, augment=_digits.augment)


RECIPE = Recipe(
    settings={
        "seed": 0,
        "epochs": 20,
        "batches_per_epoch": 40,
        "batch_size": 80,
        "embedding": 256,
        "positive_fraction": 0.25,
        "margin": 2.0,
        "learning_rate": 1e-3,
    },
    data=_digits.unseen_digits,
    build=build,
    experiment=experiment,
    measure=_digits.measure,
    license=_digits.LICENSE,
)

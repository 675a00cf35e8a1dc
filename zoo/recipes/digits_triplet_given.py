"""Triplet network on handwritten digits, triplets drawn at random, none mined; five digits unseen.

    keras-metric train digits-triplet-given

Hoffer and Ailon, "Deep Metric Learning Using Triplet Network", 2015, arXiv:1412.6622, with the
margin loss of Schroff et al. 2015, eq. 1. Data and evaluation are those of
digits-triplet; the difference is the effect of mining.

Measured: 3 seeds, 20 epochs, 1.3 minutes on two cores in all: recall@1 0.9929 (0.9911 to
0.9944), recall@5 0.9981 (0.9978 to 0.9989), map@r 0.6436 (0.6309 to 0.6621).
"""

from zoo.recipe import Recipe
from zoo.recipes import _digits
from zoo.training import experiments


def experiment(settings, encoder, split):
    return experiments.triplet(settings, encoder, split, augment=_digits.augment)


RECIPE = Recipe(
    settings={
        "seed": 0,
        "epochs": 20,
        "batches_per_epoch": 40,
        "batch_size": 54,
        "embedding": 256,
        "margin": 0.2,
        "learning_rate": 1e-3,
    },
    data=_digits.unseen_digits,
    build=_digits.build,
    experiment=experiment,
    measure=_digits.measure,
    license=_digits.LICENSE,
)

"""One-shot handwritten characters in ten short epochs: InfoNCE, hard batches, test-time views.

    keras-metric train omniglot-infonce --seeds 3
    keras-metric train omniglot-infonce --seeds 3 --set background=small2

Learns from the five alphabets of one minimal background set of Omniglot, whose quarter turns count
as classes of their own (van den Oord et al., 2018, arXiv:1807.03748, eq. 4), half of the batches
within one alphabet; asked 20-way one-shot within the alphabets that only the other set has. The
embedding is the mean over nine views of an image: as it is, turned, resized, moved. No ensemble.
"""

from zoo.recipe import Recipe
from zoo.recipes import _omniglot

RECIPE = Recipe(
    settings={
        "seed": 0,
        "background": "small1",
        "side": 28,
        "epochs": 10,
        "steps": 100,
        "classes": 16,
        "images": 8,
        "embedding": 128,
        "members": 1,
        "temperature": 0.05,
        "learning_rate": 3e-3,
        "within": 0.5,
    },
    data=_omniglot.every_drawer,
    build=_omniglot.build,
    objective=_omniglot.objective,
    measure=_omniglot.measure_views,
    licence=_omniglot.LICENCE,
    pictures=_omniglot.pictures,
    protocol=_omniglot.PROTOCOL,
)

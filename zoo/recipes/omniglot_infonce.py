"""One-shot handwritten characters in a few minutes: InfoNCE, hard batches, test-time views.

    keras-metric train omniglot-infonce --seeds 3
    keras-metric train omniglot-infonce --seeds 3 --set background=small2

Trained on the five alphabets of one minimal background set of Omniglot (van den Oord et al., 2018,
arXiv:1807.03748, eq. 4), half of the batches within one alphabet. Quarter turns and mirror images
are classes of their own, and half of the classes of a batch are distorted into new characters.
Evaluated by 20-way one-shot runs within the alphabets that only the other set has. Drawings are
scaled to about the same size; the embedding is the last feature map, the mean over nine views of an
image: original, rotated, resized, shifted. No ensemble.

Measured: 3 seeds, 15 epochs, 23.7 minutes on two cores in all: 20-way one-shot error % 9.655
(9.225 to 10.13), 20-way error %, Japanese_(katakana) 11.57 (11.45 to 11.7), 20-way error %,
Sanskrit 13.85 (13.3 to 14.45).
"""

from zoo.recipe import Recipe
from zoo.recipes import _omniglot

RECIPE = Recipe(
    settings={
        "seed": 0,
        "background": "small1",
        "side": 28,
        "framed": 0.6,
        "epochs": 15,
        "batches_per_epoch": 100,
        "classes_per_batch": 16,
        "images_per_class": 8,
        "members": 1,
        "temperature": 0.05,
        "learning_rate": 3e-3,
        "within": 0.5,
        "elastic": 0.02,
        "warped": 0.5,
        "halves": 0.0,
        "power": 1.0,
    },
    data=_omniglot.every_drawer,
    build=_omniglot.build,
    experiment=_omniglot.experiment,
    measure=_omniglot.measure_views,
    license=_omniglot.LICENSE,
    pictures=_omniglot.pictures,
    protocol=_omniglot.PROTOCOL,
)

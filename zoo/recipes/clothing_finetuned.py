"""Embedding of photographs of clothes: EfficientNet-Lite0 with ImageNet weights, fine-tuned.

    keras-metric train clothing-finetuned --seeds 3

The same way `keras-metric train PHOTOS` takes with any folder: embedding and head begin as the
linear discriminants of the frozen features, then a normalized softmax with smoothed labels (Zhai
and Wu, BMVC 2019, arXiv:1811.12649) moves them and the upper four fifths of the backbone. The epoch
is chosen on a tenth of the training photos.
"""

from zoo.datasets import stratified_split
from zoo.datasets.reading._extras import need
from zoo.datasets.sources import clothing
from zoo.evaluation.vectors import results_of
from zoo.photographs import learning
from zoo.photographs.embedding import embedded
from zoo.photographs.measuring import frozen_vectors, vectors_of
from zoo.recipe import Recipe
from zoo.recipes import _clothing, _fine_tuned
from zoo.recipes.clothing_triplet import pictures
from zoo.training.experiments import Measured, Split

MEASURES = ("recall@1", "map@r", "accuracy")


def data(settings, folder):
    need("faiss", extra="search", purpose="The vote of the nearest photos")
    need("sklearn", extra="eval", purpose="Linear discriminants")
    made = _fine_tuned.preprocessing(settings)
    known, asked = (clothing.load(split, folder, size=made) for split in clothing.SPLITS)
    return Split(*stratified_split(known, 0.1, seed=0), asked)


def measure(settings, model, split):
    found = [vectors_of(embedded(model, part), part) for part in (split.train, split.test)]
    baselines = frozen_vectors(settings, split.train, split.test)
    return Measured(
        _measured(found),
        {name: _measured(pair) for name, pair in baselines.items()}
        | {"raw pixels": _clothing.raw_pixels(split)},
    )


def _measured(pair):
    found = results_of(*pair)
    return {name: found[name] for name in MEASURES}


RECIPE = Recipe(
    settings={
        **_fine_tuned.SETTINGS,
        "epochs": 14,
        "batches_per_epoch": 86,
        "classes_per_batch": 8,
        "images_per_class": 4,
        "side": 160,
    },
    data=data,
    build=_fine_tuned.build,
    experiment=learning.experiment,
    measure=measure,
    pictures=pictures,
    preprocessing=_fine_tuned.preprocessing,
    license=_clothing.LICENSE,
    protocol=_clothing.PROTOCOL_OF_HOME,
    limits=_clothing.LIMITS,
)

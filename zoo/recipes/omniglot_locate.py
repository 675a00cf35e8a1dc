"""Finds a handwritten character in a crowded scene from one drawing of it; new alphabets.

    keras-metric train omniglot-locate --seeds 3

The encoder is trained on windows of scenes, drawn from the five alphabets of Omniglot's
`images_background_small1`, whose quarter turns are classes of their own: characters among others,
and windows without a centered one, which have no positives (InfoNCE: van den Oord et al., 2018,
arXiv:1807.03748, eq. 4). Made fully convolutional it searches scenes of the alphabets that only
`small2` has (Bertinetto et al., 2016, arXiv:1606.09549): 3 to 8 characters of other drawers than
the exemplar's, among strokes and fragments. Settings were chosen with `--set background=small2`.
"""

from zoo.datasets import stratified_split
from zoo.datasets.augmentation.warp import rotations_as_classes
from zoo.recipe import Recipe
from zoo.recipes import _locate, _omniglot
from zoo.training.experiments import Split


def data(settings, folder):
    seen, unseen = _omniglot.two_backgrounds(settings, folder)
    train, validation = stratified_split(seen, 0.1, seed=settings["seed"])
    early = unseen.drawers <= 10
    test = _locate.search(settings, unseen.where(early), unseen.where(~early))
    return Split(rotations_as_classes(train), validation, test)


RECIPE = Recipe(
    settings={
        "seed": 0,
        "background": "small1",
        "side": 28,
        "epochs": 30,
        "batches_per_epoch": 40,
        "classes_per_batch": 32,
        "images_per_class": 4,
        "embedding": 64,
        "temperature": 0.1,
        "learning_rate": 2e-3,
        "exemplars": 1,
        "scenes": 60,
        "size": 128,
        "blur": 1.0,
    },
    data=data,
    build=_locate.build,
    experiment=_locate.experiment,
    measure=_locate.measure,
    license=_omniglot.LICENSE,
    pictures=_locate.pictures,
    protocol=_locate.PROTOCOL,
    limits=_locate.LIMITS,
)

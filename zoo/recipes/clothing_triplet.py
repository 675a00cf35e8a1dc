"""Embedding of photographs of clothes: semi-hard triplets and classification at once, from scratch.

    keras-metric train clothing-classifier --seeds 3
    keras-metric train clothing-triplet --seeds 3 --set classifier=out/clothing-classifier

Zhang, Zhou, Lin and Zhang, "Embedding Label Structures for Fine-Grained Feature Representation",
2016, arXiv:1512.02895, section 3.1, with the semi-hard negatives of Schroff et al., "FaceNet",
2015, arXiv:1503.03832. The classifier uses the features below the embedding and is not saved.
Photos, net up to those features, augmentation, optimizer and number and size of steps are those of
clothing-classifier, whose runs are evaluated for comparison if they are named; here batches have
equally many photos of each class. The embedding is the mean of a photo's and its mirror image's.

Measured: 3 seeds, 30 epochs, 61.2 minutes on two cores in all: recall@1 0.7234 (0.7097 to
0.7361), map@r 0.5162 (0.5094 to 0.5234), accuracy 0.7537 (0.7507 to 0.7595).
"""

from pathlib import Path

from keras_metric.losses import TripletLoss
from zoo.encoders.ensemble import AS_IS, ensemble, members
from zoo.recipe import Recipe
from zoo.recipes import _clothing
from zoo.reports import embedding_pictures
from zoo.runs import runs
from zoo.training import experiments
from zoo.training.experiments import Measured

NEIGHBOURS = "Nearest neighbors among photos not used for training; green is a hit."


def data(settings, folder):
    _beside(settings)
    return _clothing.data(settings, folder)


def build(settings, split):
    options = {"embedding": settings["embedding"], "normalize": True}
    return ensemble([_clothing.build(settings, split, **options)], AS_IS, mirror=True)


def experiment(settings, model, split):
    """One side of a photo at a time, as drawn; the model looks at both."""
    (encoder,) = members(model)
    loss = TripletLoss(settings["margin"], mining=settings["mining"])
    return experiments.joint(
        settings, encoder, split, loss, below="pool", augment=_clothing.augment
    )


def measure(settings, encoder, split):
    baselines, classifier = {}, _beside(settings)
    if classifier is not None:
        found = _clothing.of_classifier(runs.load(classifier), split)
        baselines = {f"cross-entropy, {name}": values for name, values in found.items()}
    baselines["raw pixels"] = _clothing.raw_pixels(split)
    (one_side,) = members(encoder)
    tables = {"One side of each photo": {"one side": _clothing.measured(one_side, split)}}
    return Measured(_clothing.measured(encoder, split), baselines, tables)


def pictures(settings, encoder, split):
    drawn = embedding_pictures.pictures(settings, encoder, split)
    return {**drawn, "gallery.png": drawn["gallery.png"]._replace(caption=NEIGHBOURS)}


def _beside(settings) -> Path | None:
    """The run of clothing-classifier named: trained by the same seed, for as long, on the same."""
    if not settings["classifier"]:
        return None
    named = Path(settings["classifier"])
    folder = named / f"seed-{settings['seed']}"
    run = runs.Run(folder if folder.is_dir() else named)
    report = run.report()
    wanted = {key: settings[key] for key in _clothing.SETTINGS}
    found = {key: report["settings"].get(key) for key in wanted}
    if report["recipe"] != "clothing-classifier" or found != wanted:
        raise ValueError(
            "The classifier cannot be compared. Expected: a run of clothing-classifier with "
            f"{wanted}. Received: one of {report['recipe']} with {found}, in {run.folder}."
        )
    return run.folder


RECIPE = Recipe(
    settings={
        **_clothing.SETTINGS,
        "classes_per_batch": 10,
        "images_per_class": 6,
        "embedding": 128,
        "margin": 0.2,
        "mining": "semi_hard",
        "classification": 0.5,
        "classifier": "",
    },
    data=data,
    build=build,
    experiment=experiment,
    measure=measure,
    pictures=pictures,
    preprocessing=_clothing.preprocessing,
    license=_clothing.LICENSE,
    protocol="`accuracy` is that of nearest neighbors, or of the classifier's classes. "
    + _clothing.PROTOCOL,
    limits="The embedding compares photos of one piece of clothing each by their distance. It "
    "measures how similar two photos are, not whether they show the same piece.",
)

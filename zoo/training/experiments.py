"""Experiments: a compiled model and its batches; the usual ways to train an encoder.

A recipe returns a `Split` of the data, an `Experiment` to train, and the results as `Measured`. The
functions below create experiments with pairs, given triplets, labeled batches, or a head.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import keras

from keras_metric.batches import PairBatches, PKBatches, TripletBatches
from keras_metric.losses import ContrastiveLoss, TripletMarginLoss
from keras_metric.models import SiameseNet, TripletNet
from zoo.recipe import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Results = dict[str, float]


class Split(NamedTuple):
    """Training, validation and test data: `Images`, `Scenes`; their `repr` is on the card.

    Settings may be chosen on `validation`; `test` is only for evaluation. Embeddings are evaluated
    on classes that were not used for training.
    """

    train: Any
    validation: Any
    test: Any


class Experiment(NamedTuple):
    """A compiled model, the batches of one epoch, and validation batches (or None).

    `callbacks` is called with a folder that exists until the end of the training, and returns
    callbacks for `fit`; they run before the one that saves the state of an epoch.
    """

    model: keras.Model
    batches: keras.utils.PyDataset
    validation: keras.utils.PyDataset | None = None
    callbacks: Callable[[Path], Sequence[keras.callbacks.Callback]] | None = None


class Measured(NamedTuple):
    """Results by name; those of each baseline; further tables: title -> row -> column -> value.

    `notes` are sentences that the card shows above the results.
    """

    results: Results
    baselines: dict[str, Results]
    tables: dict[str, dict[str, Results]] = {}
    notes: tuple[str, ...] = ()


class Picture(NamedTuple):
    """A picture of the card and its caption."""

    figure: "Figure"
    caption: str


def siamese(
    settings: Settings, encoder: keras.Model, split: Split, *, augment: Callable | None = None
) -> Experiment:
    """An experiment with pairs and the contrastive loss. Hadsell, Chopra, LeCun 2006, eq. 4."""
    model = SiameseNet(encoder)
    model.compile(adam(settings), ContrastiveLoss(margin=settings["margin"]))
    fraction = {"positive_fraction": settings["positive_fraction"]}
    return _with_batches(PairBatches, model, settings, split, augment, **fraction)


def triplet(
    settings: Settings, encoder: keras.Model, split: Split, *, augment: Callable | None = None
) -> Experiment:
    """An experiment with random triplets and the triplet loss. Schroff et al. 2015, eq. 1."""
    model = TripletNet(encoder)
    model.compile(adam(settings), TripletMarginLoss(margin=settings["margin"]))
    return _with_batches(TripletBatches, model, settings, split, augment)


def labelled(
    settings: Settings,
    encoder: keras.Model,
    split: Split,
    loss: keras.losses.Loss,
    *,
    augment: Callable | None = None,
) -> Experiment:
    """An experiment with P classes x K images and any loss on `(labels, embeddings)`."""
    encoder.compile(adam(settings), loss)
    return Experiment(encoder, *labelled_batches(settings, split, augment=augment))


def joint(
    settings: Settings,
    encoder: keras.Model,
    split: Split,
    loss: keras.losses.Loss,
    *,
    below: str,
    augment: Callable | None = None,
) -> Experiment:
    """An experiment with a loss on the embeddings plus classification, only for training.

    The classifier uses the output of the encoder's layer `below`; cross-entropy has the weight
    `settings["classification"]`, the loss the rest. Zhang et al. 2016, arXiv:1512.02895, eq. 1.
    """
    features = encoder.get_layer(below).output
    classes = keras.layers.Dense(len(split.train.names), name="classes")(features)
    both = keras.Model(encoder.input, {"embeddings": encoder.output, "classes": classes})
    share = settings["classification"]
    both.compile(
        adam(settings),
        loss={
            "embeddings": loss,
            "classes": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        },
        loss_weights={"embeddings": 1 - share, "classes": share},
    )
    return Experiment(both, *labelled_batches(settings, split, augment=augment, batches=ForBoth))


class ForBoth(PKBatches):
    """P classes x K images, with their labels for both outputs."""

    def batch(self, epoch: int, number: int):
        images, labels = super().batch(epoch, number)
        return images, {"embeddings": labels, "classes": labels}


def headed(
    settings: Settings,
    encoder: keras.Model,
    split: Split,
    head: keras.Layer,
    *,
    augment: Callable | None = None,
) -> Experiment:
    """An experiment with P classes x K images and a head of `keras_metric.heads`."""
    model = keras.Sequential([encoder, head])
    model.compile(adam(settings), head.loss(), metrics=["sparse_categorical_accuracy"])
    return Experiment(model, *labelled_batches(settings, split, augment=augment))


def labelled_batches(
    settings: Settings, split: Split, *, augment: Callable | None = None, batches=PKBatches
) -> tuple[PKBatches, PKBatches]:
    """The batches of P classes x K images for training, and those for validation."""
    if settings["images_per_class"] < 2:
        raise ValueError(
            "A batch needs two images of a class. Expected: "
            "images_per_class=2 or more. Received: "
            f"images_per_class={settings['images_per_class']}."
        )
    count = {
        "classes_per_batch": settings["classes_per_batch"],
        "images_per_class": settings["images_per_class"],
    }
    options = {**count, "seed": settings["seed"]}
    train, seen = split.train, split.validation
    return (
        batches(
            train.images,
            train.labels,
            batches_per_epoch=settings["batches_per_epoch"],
            augment=augment,
            **options,
        ),
        batches(seen.images, seen.labels, fixed=True, **_fitting(options, seen.classes)),
    )


def adam(settings: Settings) -> keras.optimizers.Optimizer:
    """Adam with a cosine decay of the learning rate to zero over the whole run."""
    schedule = keras.optimizers.schedules.CosineDecay(
        settings["learning_rate"], settings["epochs"] * settings["batches_per_epoch"]
    )
    return keras.optimizers.Adam(schedule)


def _with_batches(batches, model, settings, split, augment, **options) -> Experiment:
    options |= {"batch_size": settings["batch_size"], "seed": settings["seed"]}
    train, seen = split.train, split.validation
    return Experiment(
        model,
        batches(
            train.images,
            train.labels,
            batches_per_epoch=settings["batches_per_epoch"],
            augment=augment,
            **options,
        ),
        batches(seen.images, seen.labels, batches_per_epoch=4, fixed=True, **options),
    )


def _fitting(options: dict, classes) -> dict:
    """The options of the batches, with at most as many classes as there are."""
    return {**options, "classes_per_batch": min(options["classes_per_batch"], len(classes))}

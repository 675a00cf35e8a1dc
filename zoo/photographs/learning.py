"""The encoder of a run on photographs, and how it learns."""

from bisect import bisect

import keras
import numpy as np

from keras_metric import heads
from keras_metric.batches import Batches, PKBatches
from keras_metric.losses import (
    InfoNCELoss,
    MultiSimilarityLoss,
    SupConLoss,
    TripletLoss,
)
from keras_metric.preprocessing import Preprocessing
from zoo import encoders, pretrained
from zoo.datasets.augmentation.crops import Crop
from zoo.photographs.embedding import embedded, frozen
from zoo.photographs.keeping_time import Budget
from zoo.photographs.photos import Photos
from zoo.training import fine_tuning
from zoo.training.experiments import Experiment, ForBoth, adam
from zoo.training.fine_tuning import KeepBest

MOST_CHOSEN_ON = 2000  # photographs that every epoch is measured on
MOST_STARTED_FROM = 20_000  # photographs that the discriminants are of
CLASSIFICATION = 0.5  # share of cross-entropy in the loss "joint"

LOSSES = {
    "triplet": lambda settings: TripletLoss(settings["margin"], mining="semi_hard"),
    "supcon": lambda settings: SupConLoss(),
    "multi_similarity": lambda settings: MultiSimilarityLoss(),
    "infonce": lambda settings: InfoNCELoss(),
}
NORMALIZED_SOFTMAX = "normalized_softmax"
HEADS = {
    "arcface": heads.ArcFace,
    "proxy_anchor": heads.ProxyAnchor,
    NORMALIZED_SOFTMAX: heads.NormalizedSoftmax,
}
JOINT = "joint"


def build(settings, split) -> keras.Model:
    """The backbone, and an embedding of unit length on its pooled features."""
    return encoders.build(
        settings["backbone"],
        split.train.shape,
        embedding=settings["embedding"],
        normalize=True,
        weights=weights_of(settings),
    )


def preprocessing_of(settings) -> Preprocessing:
    side = settings["size"]
    return Preprocessing((side, side), resize=settings["resize"], fill=settings["fill"])


def weights_of(settings) -> str | None:
    """ "imagenet" where the backbone has weights in a package, unless `weights` says otherwise."""
    wanted = settings["weights"]
    if wanted not in ("auto", "none"):
        return wanted
    return (
        "imagenet" if wanted == "auto" and settings["backbone"] in pretrained.backbones() else None
    )


def experiment(settings, model, split, augment=None) -> Experiment:
    """The encoder with what its loss needs, batches, and the best epoch on `validation`."""
    known = (JOINT, *LOSSES, *HEADS)
    if settings["loss"] not in known:
        raise ValueError(
            f"Unknown loss. Expected: one of {', '.join(known)}. Received: {settings['loss']!r}."
        )
    trained, kind = _compiled(settings, model, split), PKBatches
    if settings["loss"] == JOINT:
        kind = ForBoth
    train = split.train
    batches = kind(
        train.images,
        train.labels,
        classes_per_batch=settings["classes_per_batch"],
        images_per_class=settings["images_per_class"],
        batches_per_epoch=settings["batches_per_epoch"],
        seed=settings["seed"],
        augment=augment or Crop(),
        workers=settings["workers"],
    )
    seen = InOrder(few(split.validation, MOST_CHOSEN_ON), workers=settings["workers"])

    def callbacks(folder):
        best = KeepBest(
            seen,
            measure=settings["best_by"],
            folder=folder,
            encoder=model,
            start=settings["start"] == "discriminants",
        )
        return [best, Budget(settings["minutes"], folder)] if settings["minutes"] else [best]

    return Experiment(trained, batches, callbacks=callbacks)


def _compiled(settings, model, split) -> keras.Model:
    """What is fitted: the encoder, with a head or a classifier on top where the loss needs one."""
    name, classes = settings["loss"], len(split.train.names)
    if name == JOINT:
        logits = keras.layers.Dense(classes, name="classes")(_features(model))
        both = keras.Model(model.input, {"embeddings": model.output, "classes": logits})
        entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        both.compile(
            _optimizer(settings, model),
            loss={"embeddings": LOSSES["triplet"](settings), "classes": entropy},
            loss_weights={"embeddings": 1 - CLASSIFICATION, "classes": CLASSIFICATION},
        )
        return both
    if name in HEADS:
        smooth = name == NORMALIZED_SOFTMAX
        head = HEADS[name](classes, **({"scale": settings["scale"]} if smooth else {}))
        options = {"label_smoothing": settings["label_smoothing"]} if smooth else {}
        loss = head.loss(**options)
        headed = keras.Sequential([model, head])
        _start(settings, model, head, split.train)
        headed.compile(_optimizer(settings, model), loss)
        return headed
    model.compile(_optimizer(settings, model), LOSSES[name](settings))
    return model


def _start(settings, model, head, train: Photos) -> None:
    """The embedding and the head begin as the discriminants of what the frozen backbone gives."""
    if settings["start"] != "discriminants":
        return
    backbone = frozen(settings["backbone"], train.shape)
    known = of_each_class(train, MOST_STARTED_FROM)
    found = embedded(backbone, known, workers=settings["workers"])
    labels = known.labels[found.rows]
    if set(labels) == set(range(len(train.names))):
        embedding = model.get_layer("embedding")
        fine_tuning.start_from_discriminants(embedding, head, found.embeddings, labels)


def _optimizer(settings, model) -> keras.optimizers.Optimizer:
    """AdamW for pretrained weights, lower layers at a lower rate, the lowest frozen; else Adam."""
    if weights_of(settings) is None:
        return adam(settings)
    fine_tuning.freeze(model, settings["frozen"], depthwise=True)
    steps = settings["epochs"] * settings["batches_per_epoch"]
    return fine_tuning.LayerwiseAdamW(
        fine_tuning.warm_up_cosine(settings["learning_rate"], steps),
        rates=fine_tuning.layer_rates(model, settings["first_rate"]),
        weight_decay=settings["weight_decay"],
        use_ema=settings["ema"],
    )


def _features(model):
    """The pooled features below the embedding."""
    names = [layer.name for layer in model.layers]
    return model.get_layer("pool" if "pool" in names else names[-3]).output


def few(photos: Photos, most: int) -> Photos:
    """The photographs, or whole classes of them drawn at random up to about `most`."""
    if len(photos) <= most:
        return photos
    drawn = np.random.default_rng(0).permutation(photos.classes)
    sizes = np.bincount(photos.labels)[drawn]
    count = max(2, int(np.searchsorted(np.cumsum(sizes), most, side="right")))
    chosen = np.flatnonzero(np.isin(photos.labels, drawn[:count]))
    if len(chosen) > 2 * most:  # few, large classes
        chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:most])
    return photos.where(chosen)


def of_each_class(photos: Photos, most: int) -> Photos:
    """The photographs, or about `most` of them: of each class as many, at least one."""
    if len(photos) <= most:
        return photos
    order = np.lexsort((np.random.default_rng(0).random(len(photos)), photos.labels))
    sizes = np.bincount(photos.labels)
    place = np.arange(len(photos)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # in its class
    caps = range(1, int(sizes.max()))
    each = bisect(caps, most, key=lambda cap: np.minimum(sizes, cap).sum())
    return photos.where(np.sort(order[place < max(each, 1)]))


class InOrder(Batches):
    """All photographs once, in their order, `(images (B, H, W, C), labels (B,))`."""

    def __init__(self, photos: Photos, *, size: int = 64, workers: int = 2):
        self.photos, self.size = photos, size
        super().__init__(
            batches_per_epoch=-(-len(photos) // size),
            images_per_epoch=len(photos),
            images_per_batch=size,
            seed=0,
            augment=None,
            fixed=True,
            shard=(0, 1),
            workers=workers,
            use_multiprocessing=False,
            max_queue_size=4,
        )

    def batch(self, epoch: int, number: int):
        rows = np.arange(number * self.size, min((number + 1) * self.size, len(self.photos)))
        return self.photos.images[rows], self.photos.labels[rows]

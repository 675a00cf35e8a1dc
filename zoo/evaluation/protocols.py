"""Usual evaluations of recipes: retrieval among unseen classes, N-way one-shot within a group."""

import keras
import numpy as np

from keras_metric import metrics
from zoo.datasets.images import Images
from zoo.evaluation.vectors import MEASURES, Vectors, vote
from zoo.training.experiments import Results


def embed(encoder: keras.Model, images: np.ndarray) -> np.ndarray:
    """Embeddings `(N, D)` float32 of images `(N, H, W, C)`."""
    return np.asarray(encoder.predict(images, batch_size=256, verbose=0), np.float32)


def pixels(images: np.ndarray) -> np.ndarray:
    """A baseline without learning: the pixels of the image as a vector `(N, H·W·C)` of 0..1."""
    return np.reshape(images, (len(images), -1)).astype(np.float32) / 255


def retrieval(encoder: keras.Model, images: Images) -> tuple[Results, dict[str, Results]]:
    """Retrieval of each image among all others: results of the encoder and of raw pixels."""
    return (
        _retrieved(embed(encoder, images.images), images),
        {"raw pixels": _retrieved(pixels(images.images), images)},
    )


def knn_accuracy(encoder: keras.Model, known: Images, asked: Images, *, k: int) -> float:
    """Accuracy of the label that most of the k nearest known images have."""
    of_known, of_asked = (Vectors(embed(encoder, one.images), one.labels) for one in (known, asked))
    return round(float(np.mean(vote(of_known, of_asked, k) == of_asked.names)), 6)


def one_shot(
    encoder: keras.Model,
    images: Images,
    *,
    ways: int,
    runs: int,
    seed: int,
    shown: Images | None = None,
) -> tuple[Results, dict[str, Results]]:
    """N-way one-shot runs within a group, with two different drawers: errors in percent.

    A group with fewer than `ways` classes uses all of them, and its name states their number.
    Lake, Salakhutdinov, Tenenbaum 2015; the encoder and raw pixels use the same runs. The pixels
    are those of the images, or of `shown`, the same images in a size that is better for them.
    """
    raw = pixels((images if shown is None else shown).images)
    return (
        _one_shot_errors(embed(encoder, images.images), images, ways, runs, seed),
        {"raw pixels": _one_shot_errors(raw, images, ways, runs, seed)},
    )


def _retrieved(embeddings: np.ndarray, images: Images) -> Results:
    found = metrics.retrieval(embeddings, images.labels, k=(1, 5))
    return {name: round(float(found[name]), 6) for name in MEASURES}


def _one_shot_errors(embeddings, images, ways, runs, seed) -> Results:
    errors = {}
    for group in np.unique(images.groups):
        mine = images.groups == group
        asked = min(ways, len(np.unique(images.labels[mine])))
        found = metrics.one_shot(
            embeddings[mine],
            images.labels[mine],
            drawers=images.drawers[mine],
            ways=asked,
            runs=runs,
            seed=seed,
        )
        name = f"{asked}-way error %, {images.group_names[group]}"
        errors[name] = round(100 * (1 - found["one_shot"]), 4)
    mean = sum(errors.values()) / len(errors)
    return {f"{ways}-way one-shot error %": round(mean, 4), **errors}

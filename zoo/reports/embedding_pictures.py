"""The pictures of an embedding, drawn from its test images."""

import keras
import numpy as np

from keras_metric import distances, plots
from zoo.datasets.images import Images
from zoo.datasets.reading._extras import need
from zoo.evaluation.protocols import embed
from zoo.recipe import Settings
from zoo.training.experiments import Picture, Split

SHOWN = 1000  # images that are compared pair by pair, drawn once with a fixed seed


def check_extras() -> None:
    """Raise if what projects the embeddings is missing."""
    need("sklearn", extra="eval", purpose="The projection of a run")


def pictures(settings: Settings, encoder: keras.Model, split: Split) -> dict[str, Picture]:
    """Gallery, projection and distance histograms, by file name."""
    images = split.test
    if len(images) > SHOWN:
        images = images.where(np.random.default_rng(0).permutation(len(images))[:SHOWN])
    embeddings = embed(encoder, images.images)
    between = np.array(distances.euclidean(embeddings, embeddings))
    same = images.labels[:, None] == images.labels
    above = np.triu(np.ones_like(same), 1)
    return {
        "gallery.png": Picture(
            _gallery(images, between, same),
            "Nearest neighbours among images of classes never trained on; green is a hit.",
        ),
        "projection.png": Picture(
            plots.projection(plane(embeddings), images.labels, names=images.names),
            "The embeddings, projected to a plane.",
        ),
        "distances.png": Picture(
            plots.distance_histograms(between[same & above], between[~same & above]),
            "Distances of images of the same class and of different classes.",
        ),
    }


def _gallery(images: Images, between: np.ndarray, same: np.ndarray, queries=8, neighbours=8):
    """The queries whose nearest neighbour is wrong first, then others drawn at random."""
    np.fill_diagonal(between, np.inf)
    order = np.argsort(between, axis=1)[:, :neighbours]
    hits = np.take_along_axis(same, order, axis=1)
    shuffled = np.random.default_rng(0).permutation(len(images))
    wrong = [query for query in shuffled if not hits[query, 0]][: queries // 2]
    right = [query for query in shuffled if hits[query, 0]][: queries - len(wrong)]
    chosen = np.array(wrong + right)
    captions = [images.names[label] for label in images.labels[chosen]]
    return plots.gallery(
        images.images[chosen], images.images[order[chosen]], hits[chosen], captions=captions
    )


def plane(embeddings: np.ndarray) -> np.ndarray:
    """The embeddings as points of a plane, neighbours kept near. van der Maaten and Hinton 2008."""
    if not np.ptp(embeddings, axis=0).any():  # collapsed: all are one point
        return np.zeros((len(embeddings), 2))
    perplexity = min(30, (len(embeddings) - 1) / 3)
    manifold = need("sklearn.manifold", extra="eval", purpose="The projection of a run")
    return manifold.TSNE(init="pca", perplexity=perplexity, random_state=0).fit_transform(
        embeddings
    )

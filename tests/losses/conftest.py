"""A batch with everything in it, and the loops that every loss is compared with."""

import keras
import numpy as np
import pytest

NEEDED = {
    "both": lambda positives, negatives: positives and negatives,
    "any": lambda positives, negatives: positives or negatives,
    "positive": lambda positives, negatives: positives,
}


def euclidean(a, b):
    return np.sqrt(np.sum((a - b) ** 2))


def cosine(a, b):
    return 1 - a @ b / np.sqrt((a @ a) * (b @ b))


BETWEEN = {
    "euclidean": euclidean,
    "squared_euclidean": lambda a, b: euclidean(a, b) ** 2,
    "cosine": cosine,
    "negative_dot": lambda a, b: -(a @ b),
}


@pytest.fixture
def labels():
    """Classes of 4, 3, 3, 2 and 1: the last sample has no positive."""
    return np.array([0, 1, 2, 0, 1, 3, 0, 2, 3, 0, 1, 2, 4])


@pytest.fixture
def embeddings(rng):
    return (0.5 * rng.normal(size=(13, 4))).astype("float32")


@pytest.fixture
def loops(labels, embeddings):
    """Mean of formula(D, i, positives, negatives) over the anchors i that the loss needs."""

    def over_anchors(formula, needs, distance):
        x, count = embeddings.astype("float64"), len(embeddings)
        between = BETWEEN[distance]
        distances = np.array([[between(a, b) for b in x] for a in x])
        values = []
        for i in range(count):
            positives = [j for j in range(count) if j != i and labels[j] == labels[i]]
            negatives = [j for j in range(count) if labels[j] != labels[i]]
            if NEEDED[needs](positives, negatives):
                values.append(formula(distances, i, positives, negatives))
        return sum(values) / len(values)

    return over_anchors


@pytest.fixture
def after_a_step():
    """(loss, labels, x) -> the loss, and the weights of a linear encoder after a step down it."""

    models = {}  # loss -> its model and weights, compiled once for batches of one shape

    def step(loss, labels, x):
        if loss not in models:
            keras.utils.set_random_seed(3)
            model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2, use_bias=False)])
            model.compile(keras.optimizers.SGD(0.1), loss)
            models[loss] = model, model.get_weights()
        model, start = models[loss]
        model.set_weights(start)
        model.reset_metrics()
        value = model.train_on_batch(x, labels)
        return float(value), np.array(model.get_weights()[0])

    return step

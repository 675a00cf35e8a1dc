"""Prints by how many MiB one training step on a large batch raises the peak: plain or cached."""

import resource
import sys

import keras
import numpy as np
from keras import layers

from keras_metric.losses import TripletLoss
from keras_metric.memory import GradientCache

BATCH, SIZE = 1024, 32


def encoder():
    blocks = [layers.Conv2D(16, 3, padding="same", activation="tanh") for _ in range(4)]
    head = [layers.GlobalAveragePooling2D(), layers.Dense(8)]
    return keras.Sequential([keras.Input((32, 32, 3)), *blocks, *head])


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main(kind):
    model = encoder() if kind == "plain" else GradientCache(encoder(), SIZE)
    model.compile("sgd", TripletLoss(mining="hard"))
    x = np.random.default_rng(0).normal(size=(BATCH, 32, 32, 3)).astype("float32")
    labels = np.arange(BATCH) // 4
    model.fit(x[: 2 * SIZE], labels[: 2 * SIZE], batch_size=2 * SIZE, verbose=0)
    before = peak()
    model.fit(x, labels, batch_size=BATCH, verbose=0)
    print(peak() - before)


if __name__ == "__main__":
    main(sys.argv[1])

"""Trains on one device, then on two replicas, and prints both as JSON. One strategy a process."""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from keras_metric import heads
from keras_metric.losses import LiftedStructureLoss, TripletLoss
from keras_metric.memory import CrossBatchMemory, GradientCache, PartialFC
from keras_metric.models import CrossBranchLoss, CrossBranchNet

BIG = 2**40
WEIGHTED = ("hard", "weighted mean", "proxy anchor", "arcface")
OF_CLASSES = (
    "proxy anchor",
    "proxy anchor on one replica",
    "arcface",
    "sampled classes",
    "sampled proxy anchor",
)


def encoder():
    layers = keras.layers
    start = [keras.initializers.GlorotUniform(seed=seed) for seed in (1, 2)]
    return keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(6, activation="tanh", kernel_initializer=start[0]),
            layers.Dense(3, kernel_initializer=start[1]),
        ]
    )


def data(rows):
    """Classes 0 and 1 first, then lone samples: the replicas have unequal numbers of triplets."""
    x = np.random.default_rng(rows).normal(size=(rows, 5)).astype("float32")
    return x, BIG + np.resize([0, 1, 0, 1, 0, 5, 6, 7], rows)


def with_head(kind):
    """An encoder under a head of 8 classes, with its loss on the samples of all replicas."""
    head = kind(8, scale=8.0, initializer=keras.initializers.GlorotUniform(seed=3))
    loss = head.loss(gather=True, reduction="mean_with_sample_weight")
    return lambda: keras.Sequential([encoder(), kind.from_config(head.get_config())]), lambda: loss


def sampled(kind):
    """The same of 30 classes, of which a step compares 12."""
    head = kind(30, scale=8.0, initializer=keras.initializers.GlorotUniform(seed=3))
    loss = head.loss(gather=True, reduction="mean_with_sample_weight")
    again = kind.from_config
    return lambda: PartialFC(encoder(), again(head.get_config()), 12, seed=5), lambda: loss


def triplets(**options):
    return lambda: TripletLoss(margin=1.0, **{"mining": "hard", "gather": True, **options})


CASES = {
    "hard": (encoder, triplets(), 24),
    "semi-hard": (encoder, triplets(mining="semi_hard"), 24),
    "all": (encoder, triplets(mining="all", distance="cosine"), 24),
    "row blocks": (encoder, triplets(rows_per_block=3), 24),
    "context": (encoder, lambda: LiftedStructureLoss(gather=True, rows_per_block=3), 24),
    "beyond the row": (encoder, triplets(miner="angular", rows_per_block=3), 24),
    "an empty replica": (encoder, triplets(), 17),
    "sum": (encoder, triplets(reduction="sum"), 24),
    "uneven last batch": (encoder, triplets(), 21),
    "weighted mean": (encoder, triplets(reduction="mean_with_sample_weight"), 21),
    "proxy anchor": (*with_head(heads.ProxyAnchor), 21),
    "proxy anchor on one replica": (*with_head(heads.ProxyAnchor), 17),
    "arcface": (*with_head(heads.ArcFace), 21),
    "sampled classes": (*sampled(heads.ArcFace), 24),
    "sampled proxy anchor": (*sampled(heads.ProxyAnchor), 21),
    "not gathered": (encoder, triplets(gather=False), 24),
    "memory": (lambda: CrossBatchMemory(encoder(), 12), triplets(), 24),
    "across branches": (
        lambda: CrossBranchNet((encoder(), encoder())),
        lambda: CrossBranchLoss(triplets()(), both_ways=True),
        24,
    ),
    "gradient cache": (lambda: GradientCache(encoder(), 3), triplets(), 24),
}


def trained(case):
    build, loss, rows = CASES[case]
    model = build()
    model.compile(keras.optimizers.SGD(0.1), loss())
    x, labels = data(rows)
    labels = labels - BIG if case in OF_CLASSES else labels
    if case == "across branches":
        x, labels = (x, x[::-1].copy()), np.stack([labels, labels[::-1]], axis=1)
    weights = np.linspace(0.5, 1.5, rows).astype("float32") if case in WEIGHTED else None
    history = model.fit(x, labels, sample_weight=weights, batch_size=8, shuffle=False, verbose=0)
    weights = [np.asarray(w, "float64").ravel() for w in model.get_weights()]
    return {"loss": history.history["loss"], "weights": np.concatenate(weights).tolist()}


def main(cases):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    one = {case: trained(case) for case in cases}
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        two = {case: trained(case) for case in cases}
    print(json.dumps({"one": one, "two": two}))


if __name__ == "__main__":
    main(sys.argv[1:] or list(CASES))

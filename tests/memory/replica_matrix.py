"""Gradients of every loss on one device and on two replicas of 5 and 3 rows, printed as JSON.

Each loss and head, each reduction, with and without sample weights. One strategy a process.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from keras_metric import heads, losses

REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none")
ROWS = (5, 3)
LABELS = np.array([0, 1, 0, 1, 0, 2, 3, 2])  # unequal numbers of anchors that count
VIEWS = {"VICRegLoss": 2, "BarlowTwinsLoss": 2, "SimSiamLoss": 4}


def outputs(name, x):
    """What the loss of this name takes, from embeddings (B, 6)."""
    if name in VIEWS:
        return tf.stack([x[:, view : view + 3] for view in range(VIEWS[name])], axis=1)
    if name == "ContrastiveLoss":
        return tf.norm(x, axis=1)
    return tf.abs(x[:, :2]) if name == "TripletMarginLoss" else x


class Step:
    """The gradient of one loss with respect to a layer's weights, and those of a head."""

    def __init__(self, name, reduction):
        start = np.random.default_rng(0)
        self.name = name
        self.variables = [tf.Variable(start.normal(size=(5, 6)).astype("float32"))]
        if name in heads.__all__:
            self.head = getattr(heads, name)(4, scale=4.0)
            self.head.build((None, 6))
            values = start.normal(size=self.head.class_weights.shape)
            self.head.class_weights.assign(values)
            self.variables.append(self.head.class_weights.value)
            self.loss = self.head.loss(reduction=reduction, gather=True)
        else:
            self.head = None
            self.loss = getattr(losses, name)(reduction=reduction, gather=True)

    def gradients(self, x, labels, weights):
        with tf.GradientTape() as tape:
            y = tf.matmul(x, self.variables[0])
            y = self.head.class_logits(y, self.head.class_weights) if self.head else y
            labels = labels % 2 if self.name == "ContrastiveLoss" else labels
            value = self.loss(labels, outputs(self.name, y), sample_weight=weights)
            total = tf.reduce_sum(value)
        found = tape.gradient(total, self.variables)
        return [tf.convert_to_tensor(x) for x in found]


def of_two(step, strategy, arrays):
    begins = np.cumsum((0, *ROWS))

    def rows(context, array):
        own = context.replica_id_in_sync_group
        return None if array is None else tf.constant(array[begins[own] : begins[own + 1]])

    def of_replica(context):
        return [rows(context, array) for array in arrays]

    given = strategy.experimental_distribute_values_from_function(of_replica)
    found = strategy.run(lambda given: step.gradients(*given), args=(given,))
    return [sum(x.numpy() for x in strategy.experimental_local_results(one)) for one in found]


def main(names):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    rng = np.random.default_rng(1)
    x = rng.normal(size=(sum(ROWS), 5)).astype("float32")
    sample_weights = rng.uniform(0.2, 2, sum(ROWS)).astype("float32")
    differences = {}
    for name in names or [*losses.__all__, *heads.__all__]:
        for reduction in REDUCTIONS:
            alone = Step(name, reduction)
            with strategy.scope():
                mirrored = Step(name, reduction)
            for weights in (None, sample_weights):
                arrays = (x, LABELS, weights)
                one = [g.numpy() for g in alone.gradients(*map(maybe, arrays))]
                two = of_two(mirrored, strategy, arrays)
                size = max(np.abs(g).max() for g in one)
                apart = max(np.abs(a - b).max() for a, b in zip(one, two, strict=True))
                key = f"{name} {reduction} {'weights' if weights is not None else 'plain'}"
                differences[key] = [float(apart), float(size)]
    print(json.dumps(differences))


def maybe(array):
    return None if array is None else tf.constant(array)


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main(sys.argv[1:])

"""Batches, loss and metrics together in `fit` and `evaluate`."""

import keras
import numpy as np
import pytest

from keras_metric import metrics
from keras_metric.batches import PairBatches, PKBatches
from keras_metric.losses import TripletLoss


def blobs(rng):
    """Six classes that differ in two of eight coordinates, the others noise."""
    labels = np.repeat(np.arange(6) + 2**24, 12)
    images = rng.normal(size=(72, 8)).astype("float32")
    images[:, :2] += 4 * np.array([[np.cos(a), np.sin(a)] for a in range(6)])[labels - 2**24]
    return images, labels


def spread(labels, embeddings):
    return keras.ops.mean(embeddings**2, axis=-1)


def test_learns_and_measures(rng):
    images, labels = blobs(rng)
    batches = PKBatches(images, labels, classes_per_batch=4, images_per_class=4)
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    net.compile(
        optimizer=keras.optimizers.Adam(0.03),
        loss=TripletLoss(margin=1.0, mining="hard"),
        metrics=[metrics.RecallAtK(1), metrics.EqualErrorRate()],
    )
    whole = metrics.EvaluateRetrieval(images, labels, k=1)
    logs = net.fit(batches, epochs=12, verbose=0, shuffle=False, callbacks=[whole]).history
    assert logs["recall@1"][-1] > logs["recall@1"][0]
    assert logs["val_set_recall@1"][-1] > logs["val_set_recall@1"][0]
    assert logs["eer"][-1] < logs["eer"][0]


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch has no XLA here")
def test_xla_gives_the_same_values(rng):
    images, labels = blobs(rng)
    batches = PKBatches(images, labels, classes_per_batch=4, images_per_class=4, fixed=True)
    net = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    logs = []
    for jit in (False, True):
        measures = [metrics.RecallAtK(2), metrics.NDCGAtK(4), metrics.MAPAtR(), metrics.ROCAUC()]
        measures += [metrics.MeanReciprocalRank(), metrics.EqualErrorRate(), metrics.TARAtFAR(0.1)]
        net.compile(loss=spread, metrics=measures, jit_compile=jit)
        logs.append(net.evaluate(batches, verbose=0, return_dict=True))
    assert logs[0] == pytest.approx(logs[1], rel=1e-4)
    assert 0 < logs[0]["map@r"] < 1


def test_pairs_into_a_net_of_distances(rng):
    images, labels = blobs(rng)
    first, second = keras.Input((8,)), keras.Input((8,))
    apart = keras.ops.sqrt(keras.ops.sum((first - second) ** 2, axis=1))
    net = keras.Model((first, second), apart)
    net.compile(loss="mse", metrics=[metrics.ROCAUC()])
    batches = PairBatches(images, labels, batch_size=16, batches_per_epoch=3, fixed=True)
    auc = net.evaluate(batches, verbose=0, return_dict=True)["roc_auc"]
    pairs = [batches[index] for index in range(3)]
    distances = np.concatenate([np.linalg.norm(a - b, axis=1) for (a, b), _ in pairs])
    same = np.concatenate([y for _, y in pairs])
    assert auc == pytest.approx(metrics.roc_auc(distances, same), abs=2e-3)

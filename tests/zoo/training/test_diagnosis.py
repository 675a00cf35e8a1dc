"""Each way in which a training goes wrong is provoked in a real one, and told with its values."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_metric.batches import PKBatches
from keras_metric.losses import PairwiseContrastiveLoss, SupConLoss, TripletLoss
from keras_metric.models import SiameseNet, TripletNet
from zoo.training.diagnosis import Diagnosis, NotFinite, Seen, sentences
from zoo.training.keep_best import KeepBest

pytestmark = pytest.mark.tensorflow


def points(classes=8, each=8, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(classes, 6))
    labels = np.repeat(np.arange(classes), each)
    return (centers[labels] + noise * rng.normal(size=(len(labels), 6))).astype("float32"), labels


def network(*, bias=0.0, units=4, hidden=16):
    start = keras.initializers.Constant(bias)
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(hidden, "relu"),
            layers.Dense(units, bias_initializer=start),
            layers.UnitNormalization(),
        ]
    )


def trained(model, batches, epochs, further=()):
    said = []
    diagnosis = Diagnosis(batches, [], say=said.append)
    model.fit(batches, epochs=epochs, callbacks=[diagnosis, *further], verbose=0)
    assert diagnosis.told == said
    return said


def pk(images, labels, k=4, **options):
    options = {"classes_per_batch": 8, "images_per_class": k, "batches_per_epoch": 4, **options}
    return PKBatches(images, labels, **options)


def test_a_sound_training_is_told_nothing():
    model = network()
    model.compile(keras.optimizers.Adam(1e-2), TripletLoss(0.2))
    assert trained(model, pk(*points()), 6) == []


def test_collapse():
    model = network()
    pull = keras.losses.MeanSquaredError()

    @keras.saving.register_keras_serializable("tests")
    class ToOnePoint(SupConLoss):
        def call(self, labels, embeddings):
            return pull(keras.ops.ones_like(embeddings) / 2, embeddings)

    model.compile(keras.optimizers.Adam(3e-2), ToOnePoint())
    mixed = points(noise=5.0)  # classes that cannot be told apart
    (told,) = trained(model, pk(*mixed, batches_per_epoch=12), 10)
    assert told.startswith("all embeddings are becoming equal (spread 0.0")
    assert "at first 0." in told
    assert "within classes" in told


def test_stuck_at_the_margin():
    model = network(bias=100.0)  # all embeddings are equal from the start
    model.compile(keras.optimizers.SGD(1e-6), TripletLoss(0.2, mining="hard"))
    told = trained(model, pk(*points()), 4)
    assert any(line.startswith("the loss is stuck at the margin (0.2") for line in told)


def test_no_positives():
    model = network()
    model.compile(keras.optimizers.Adam(1e-3), TripletLoss(0.2))
    (told,) = trained(model, pk(*points(), k=1), 1)
    assert told.startswith("no positives in batches: 8 images of as many classes")


def test_not_finite_stops_the_training():
    model = network()
    model.compile(keras.optimizers.SGD(1e30), SupConLoss())
    with pytest.raises(
        NotFinite, match=r"not finite .*learning_rate.*Received: .*1e\+30.*32 embed"
    ):
        trained(model, pk(*points(), batches_per_epoch=25), 3)


def test_a_learning_rate_that_is_too_high():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(network().layers[:-1])  # without unit length distances have no bound
    model.compile(keras.optimizers.Adam(1e-2), PairwiseContrastiveLoss())
    rates = keras.callbacks.LearningRateScheduler(lambda epoch: 1e-3 if epoch < 2 else 3.0)
    told = trained(model, pk(*points()), 4, [rates])
    assert any(line.startswith("the training loss rises: ") for line in told)
    assert any("3 now" in line for line in told)


def test_overfitting():
    keras.utils.set_random_seed(0)
    images, _ = points(classes=16, each=4, noise=1.0)
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(8), 8))  # nothing to learn
    model = network(units=16, hidden=256)
    model.compile(keras.optimizers.Adam(1e-2), SupConLoss())
    best = KeepBest(*points(noise=1.2, seed=0), measure="recall@1")
    told = trained(model, pk(images, labels, batches_per_epoch=12), 20, [best])
    assert any(line.startswith("overfitting since epoch ") for line in told)
    assert any(" while val_set_" in line for line in told), told


def test_what_is_told_of_losses_alone():
    falling = [1.0, 0.6, 0.3, 0.2, 0.1]
    history = [
        {"loss": a, "val_loss": b} for a, b in zip(falling, [1, 0.8, 0.9, 1, 1.2], strict=True)
    ]
    assert "since epoch 2" in sentences(Seen(history))["overfitting"]
    better = [{"loss": a, "val_loss": a} for a in falling]
    assert sentences(Seen(better)) == {}
    assert "rises" in sentences(Seen([{"loss": 1.0}, {"loss": 1.3}]))["rate"]
    assert sentences(Seen([{"loss": 0.2}] * 3, margin=0.3)) == {}
    assert "stuck" in sentences(Seen([{"loss": 0.2}] * 3, margin=0.2))["margin"]


@pytest.mark.parametrize("kind", [SiameseNet, TripletNet])
def test_networks_of_pairs_and_triplets_are_watched(kind):
    net = kind(network())
    images = np.ones((4, 6), "float32")

    class Batches:
        epoch = 0

        def batch(self, epoch, number):
            return (images,) * (2 if kind is SiameseNet else 3), None

    diagnosis = Diagnosis(Batches(), [])
    net.compile(keras.optimizers.Adam(), keras.losses.MeanSquaredError())
    diagnosis.set_model(net)
    diagnosis.on_train_begin()
    assert diagnosis.seen.measured[0]["spread"] == pytest.approx(0, abs=1e-6)

"""GradientCache: the weights after training steps equal those of a batch embedded whole."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.losses import TripletLoss
from keras_metric.memory import GradientCache
from keras_metric.models import SiameseNet

# Keras 3.15 converts TensorFlow variables in a way that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BATCH, SIZE = 11, 4  # two whole micro-batches and a smaller one


@pytest.fixture(autouse=True)
def full_precision():
    """On a GPU JAX multiplies in 10 bits unless told, and rounds by the size of the batch."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    with jax.default_matmul_precision("highest"):
        yield


class InParts(keras.Model):
    """The same micro-batches, embedded by plain calls that keep every activation."""

    def __init__(self, encoder):
        super().__init__(dtype=encoder.dtype_policy)
        self.encoder = encoder

    def call(self, inputs, training=None):
        if not training:
            return self.encoder(inputs, training=training)
        parts = [
            self.encoder(
                keras.tree.map_structure(lambda x, i=i: x[i : i + SIZE], inputs), training=True
            )
            for i in range(0, BATCH, SIZE)
        ]
        return ops.concatenate(parts, axis=0)


def perceptron(*between, width=6, **dense_options):
    start = keras.initializers.GlorotUniform(seed=1)
    return keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(width, activation="tanh", kernel_initializer=start, **dense_options),
            *between,
            layers.Dense(3, kernel_initializer=start),
        ]
    )


def of_two_inputs():
    image, words = keras.Input((5,), name="image"), keras.Input((2,), dtype="int32", name="words")
    start = keras.initializers.RandomNormal(seed=1)
    embedded = layers.Flatten()(layers.Embedding(7, 3, embeddings_initializer=start)(words))
    joined = layers.Dropout(0.3, seed=3)(layers.Concatenate()([image, embedded]))
    head = layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    return keras.Model({"image": image, "words": words}, head(joined))


def half_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return perceptron(layers.Dropout(0.3, seed=3))
    finally:
        keras.config.set_dtype_policy(before)


ENCODERS = {
    "plain": perceptron,
    "dropout": lambda: perceptron(layers.Dropout(0.3, seed=3)),
    "normalised": lambda: perceptron(layers.BatchNormalization(), layers.Dropout(0.2, seed=3)),
    "weight decay": lambda: perceptron(kernel_regularizer=keras.regularizers.L2(0.1)),
    "several inputs": of_two_inputs,
    "mixed precision": half_precision,
}


def batch(rng, kind=None):
    x = rng.normal(size=(BATCH, 5)).astype("float32")
    if kind == "several inputs":
        x = {"image": x, "words": rng.integers(0, 7, (BATCH, 2)).astype("int32")}
    return x, rng.integers(0, 3, BATCH).astype("int64")


def trained(model, x, labels, loss=None, epochs=3):
    model.compile(keras.optimizers.SGD(0.5), loss or TripletLoss(margin=1.0, mining="hard"))
    model.fit(x, labels, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0)
    return model


@pytest.mark.parametrize("kind", ENCODERS)
def test_steps_equal_those_of_plain_micro_batches(kind, rng):
    cached, plain = ENCODERS[kind](), ENCODERS[kind]()
    plain.set_weights(cached.get_weights())
    x, labels = batch(rng, kind)
    start = cached.get_weights()
    model = trained(GradientCache(cached, SIZE), x, labels)
    trained(InParts(plain), x, labels)
    tolerance = 2e-3 if kind == "mixed precision" else 1e-5
    moved = 0.0
    for a, b, c in zip(model.encoder.get_weights(), plain.get_weights(), start, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
        moved = max(moved, np.abs(a - c).max())
    assert moved > 100 * tolerance
    if kind == "mixed precision":
        assert type(model.optimizer).__name__ == "LossScaleOptimizer"


def test_steps_equal_those_of_the_whole_batch(rng):
    cached, whole = perceptron(), perceptron()
    whole.set_weights(cached.get_weights())
    x, labels = batch(rng)
    history = trained(GradientCache(cached, SIZE), x, labels).history.history["loss"]
    np.testing.assert_allclose(
        history, trained(whole, x, labels).history.history["loss"], rtol=1e-5
    )
    for a, b in zip(cached.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_both_passes_draw_the_same_dropout(rng):
    """Without hidden layer: dL/dw of sum(embeddings) is the sum of what dropout left over."""

    @keras.saving.register_keras_serializable(package="test_gradient_cache")
    class Total(keras.Loss):
        def call(self, y_true, y_pred):
            return ops.sum(y_pred, axis=-1)

    encoder = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dropout(0.5, seed=3),
            layers.Dense(1, use_bias=False, kernel_initializer="ones"),
        ]
    )
    x = np.ones((BATCH, 5), "float32")
    model = GradientCache(encoder, SIZE)
    model.compile(keras.optimizers.SGD(1.0), Total(reduction="sum"))
    loss = model.fit(x, np.zeros(BATCH), batch_size=BATCH, verbose=0).history["loss"][0]
    gradient = 1 - encoder.get_weights()[0]
    assert 0 < loss < 2 * BATCH * 5
    np.testing.assert_allclose(gradient.sum(), loss, rtol=1e-6)


def test_losses_added_by_layers_are_means_over_samples(rng):
    def penalised():
        return perceptron(activity_regularizer=keras.regularizers.L2(0.5))

    cached, whole = penalised(), penalised()
    whole.set_weights(cached.get_weights())
    x, labels = batch(rng)
    first = trained(GradientCache(cached, SIZE), x, labels).history.history["loss"]
    np.testing.assert_allclose(first, trained(whole, x, labels).history.history["loss"], rtol=1e-5)
    for a, b in zip(cached.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_frozen_layers_stay_and_state_moves_once_a_micro_batch(rng):
    normalise = layers.BatchNormalization(momentum=0.5)
    encoder = perceptron(normalise)
    encoder.layers[0].trainable = False
    before = encoder.layers[0].get_weights()
    x, labels = batch(rng)
    trained(GradientCache(encoder, SIZE), x, labels, epochs=1)
    hidden = np.tanh(x @ before[0] + before[1])
    expected = np.zeros(6)
    for i in range(0, BATCH, SIZE):
        expected = 0.5 * expected + 0.5 * hidden[i : i + SIZE].mean(axis=0)
    np.testing.assert_allclose(normalise.get_weights()[2], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(encoder.layers[0].get_weights()[0], before[0])


@pytest.mark.slow
def test_memory_is_that_of_a_micro_batch():
    script = Path(__file__).with_name("peak_memory.py")
    path = os.pathsep.join(filter(None, [str(script.parents[2]), os.environ.get("PYTHONPATH")]))
    plain, cached = (
        float(
            subprocess.run(
                [sys.executable, script, kind],
                capture_output=True,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
                check=True,
            ).stdout.splitlines()[-1]
        )
        for kind in ("plain", "cached")
    )
    assert cached < plain / 2


def test_evaluates_and_predicts_as_the_encoder(rng):
    encoder = perceptron(layers.Dropout(0.5, seed=3))
    x, _ = batch(rng)
    model = GradientCache(encoder, SIZE)
    np.testing.assert_allclose(model.predict(x, verbose=0), encoder.predict(x, verbose=0))


def test_is_an_encoder_of_a_siamese_net(rng):
    encoder, twin = perceptron(), perceptron()
    twin.set_weights(encoder.get_weights())
    pairs = tuple(rng.normal(size=(BATCH, 5)).astype("float32") for _ in range(2))
    targets = np.zeros(BATCH, "float32")
    trained(
        SiameseNet(GradientCache(encoder, SIZE)), pairs, targets, keras.losses.MeanSquaredError()
    )
    trained(SiameseNet(twin), pairs, targets, keras.losses.MeanSquaredError())
    for a, b in zip(encoder.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=5e-5, atol=5e-6)


def test_saves_and_loads(rng, tmp_path):
    encoder = perceptron()
    x, labels = batch(rng)
    model = trained(GradientCache(encoder, 3, name="cached"), x, labels)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert (again.micro_batch_size, again.name) == (3, "cached")
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-6)
    assert again.evaluate(x, labels, verbose=0) == pytest.approx(
        model.evaluate(x, labels, verbose=0)
    )


def test_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match="integer from 1 on. Received: micro_batch_size=0"):
        GradientCache(perceptron(), 0)
    with pytest.raises(TypeError, match="keras.Model.*Received: 'conv4'"):
        GradientCache("conv4", 4)

"""Fine-tuning: what is frozen, how fast the rest learns, adapters, and the best epoch."""

import math

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.heads import NormalizedSoftmax
from zoo import fine_tuning
from zoo.encoders.layers import FusedBatchNormalization

pytestmark = pytest.mark.every_backend


@pytest.fixture
def encoder():
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    x = FusedBatchNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(5, name="inside")], name="inner")
    return keras.Model(inputs, layers.Dense(2, name="embedding")(inner(x)), name="small")


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(8, 6, 6, 3)).astype("float32"), np.repeat(np.arange(4), 2)


def values(variables):
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def targets(data):
    return np.random.default_rng(1).normal(size=(len(data[0]), 2)).astype("float32")


def step(encoder, optimizer, data, epochs=1):
    encoder.compile(optimizer, "mse")
    encoder.fit(data[0], targets(data), batch_size=8, epochs=epochs, verbose=0, shuffle=False)


@pytest.mark.parametrize(
    ("depth", "names"),
    [
        (0, ()),
        (0.25, ("conv", "norm")),
        (0.5, ("conv", "norm")),
        ("embedding", ("conv", "norm", "inside")),
        (1, ("conv", "norm", "inside", "embedding")),
    ],
)
def test_layers_below_the_depth_are_frozen_and_the_others_learn(encoder, depth, names):
    fine_tuning.freeze(encoder, 1)
    assert fine_tuning.freeze(encoder, depth) == names
    learning = {variable.path.split("/")[-2] for variable in encoder.trainable_variables}
    assert learning == {"conv", "norm", "inside", "embedding"} - set(names)


def test_depthwise_kernels_are_frozen_above_the_depth_too():
    inputs = keras.Input((6, 6, 3))
    x = layers.DepthwiseConv2D(3, name="depthwise")(layers.Conv2D(4, 1, name="expand")(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="last")(layers.Flatten()(x)))
    assert fine_tuning.freeze(model, 0.1, depthwise=True) == ("depthwise",)
    assert fine_tuning.freeze(model, 0.1) == ()


def test_a_frozen_normalization_keeps_its_averages_and_another_one_does_not(encoder, data):
    fine_tuning.freeze(encoder, 0.25, normalization=False)
    norm = encoder.get_layer("norm")
    assert norm.trainable
    before = values([norm.moving_mean])[0]
    step(encoder, "sgd", data)
    assert np.abs(values([norm.moving_mean])[0] - before).max() > 1e-4
    fine_tuning.freeze(encoder, 0.25)
    before = values(norm.weights)
    step(encoder, "sgd", data)
    for now, then in zip(values(norm.weights), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(
    ("depth", "told"), [(1.5, "depth=1.5"), ("block9", "conv, norm.*'block9'")]
)
def test_a_depth_that_is_not_there_is_refused(encoder, depth, told):
    with pytest.raises(ValueError, match=told):
        fine_tuning.freeze(encoder, depth)


def test_rates_grow_from_the_input_to_the_output(encoder):
    rates = fine_tuning.layer_rates(encoder, first=0.001)
    by_layer = {path.split("/")[-2]: rate for path, rate in rates.items()}
    assert by_layer == pytest.approx({"conv": 1e-3, "norm": 1e-2, "inside": 0.1, "embedding": 1})
    assert rates.keys() == {variable.path for variable in encoder.weights}


@pytest.mark.parametrize(
    ("layerwise", "plain"),
    [
        (fine_tuning.LayerwiseAdamW, keras.optimizers.AdamW),
        (fine_tuning.LayerwiseSGD, keras.optimizers.SGD),
    ],
)
def test_a_factor_is_a_smaller_rate_and_a_smaller_decay(encoder, data, layerwise, plain):
    """Each variable as in a training of the whole model at its own rate."""
    start = values(encoder.weights)
    found = {}
    for factor in (1.0, 0.25):
        encoder.set_weights(start)
        step(encoder, plain(0.1 * factor, weight_decay=0.5), data)
        found[factor] = values(encoder.trainable_variables)
    encoder.set_weights(start)
    slow = {v.path: 0.25 for v in encoder.get_layer("conv").weights}
    step(encoder, layerwise(0.1, weight_decay=0.5, rates=slow), data)
    for variable, whole, less in zip(
        encoder.trainable_variables, found[1.0], found[0.25], strict=True
    ):
        wanted = less if variable.path in slow else whole
        np.testing.assert_allclose(values([variable])[0], wanted, rtol=1e-5, atol=1e-6)
        assert "kernel" not in variable.path or np.abs(whole - less).max() > 1e-3


def test_an_optimizer_with_rates_is_saved_as_its_arguments(encoder):
    schedule = fine_tuning.warm_up_cosine(0.1, 10)
    optimizer = fine_tuning.LayerwiseAdamW(schedule, rates={"conv/kernel": 0.5}, use_ema=True)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(again) is fine_tuning.LayerwiseAdamW
    assert again.get_config() == optimizer.get_config()
    assert again.rates == {"conv/kernel": 0.5}


def test_rates_of_another_model_are_refused(encoder, data):
    optimizer = fine_tuning.LayerwiseAdamW(0.1, rates={"other/kernel": 0.5})
    with pytest.raises(ValueError, match="another model.*conv/kernel.*Received: other/kernel"):
        optimizer.build(encoder.trainable_variables)
    with pytest.raises(ValueError, match="from 0"):
        fine_tuning.LayerwiseAdamW(0.1, rates={"conv/kernel": -1})


def test_the_rate_climbs_along_a_line_and_falls_along_half_a_cosine():
    schedule = fine_tuning.warm_up_cosine(0.2, steps=50, warm_up=0.2)
    rates = [float(ops.convert_to_numpy(schedule(step))) for step in (0, 5, 10, 20, 30, 50)]
    falling = [0.1 * (1 + math.cos(math.pi * part)) for part in (0, 0.25, 0.5, 1)]
    np.testing.assert_allclose(rates, [0, 0.1, *falling], atol=1e-7)
    plain = fine_tuning.warm_up_cosine(0.2, steps=50, warm_up=0)
    assert float(ops.convert_to_numpy(plain(0))) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="warm_up"):
        fine_tuning.warm_up_cosine(0.2, steps=50, warm_up=1)


def gaussians(classes=4, size=5, count=30):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), count)
    stretch = np.diag([10.0, 1, 1, 1, 0.1])[:size, :size]
    means = 2 * rng.normal(size=(classes, size))
    return means[labels] + rng.normal(size=(len(labels), size)) @ stretch + 3, labels


def discriminants(features, labels, shrinkage):
    """The features in the directions v of B v = e W v with e > 0, where v W v = 1."""
    linalg = pytest.importorskip("scipy.linalg")
    means = np.stack([features[labels == label].mean(0) for label in np.unique(labels)])
    within = np.cov((features - means[labels]).T, bias=True)
    within = (1 - shrinkage) * within + shrinkage * np.trace(within) / len(within) * np.eye(5)
    between = np.cov(means.T, bias=True)
    return features @ linalg.eigh(between, within)[1][:, -(len(means) - 1) :]


@pytest.mark.parametrize("shrinkage", [0.0, 0.2])
def test_an_embedding_starts_as_discriminant_analysis(shrinkage):
    features, labels = gaussians()
    model = keras.Sequential([keras.Input((5,)), layers.Dense(4), NormalizedSoftmax(4)])
    embedding, head = model.layers
    options = {"shrinkage": shrinkage, "noise": 0}
    fine_tuning.start_from_discriminants(embedding, head, features, labels, **options)
    ours = values([embedding(features.astype("float32"))])[0]
    wanted = discriminants(features, labels, shrinkage)
    found = [np.linalg.norm(x[:, None] - x, axis=-1) for x in (ours, wanted)]
    np.testing.assert_allclose(found[0] / found[0].max(), found[1] / found[1].max(), atol=1e-4)
    np.testing.assert_allclose((ours**2).sum(1).mean(), 1, rtol=1e-4)
    means = np.stack([ours[labels == label].mean(0) for label in range(4)])
    cosines = values([head(means)])[0] / head.scale
    np.testing.assert_allclose(np.diag(cosines), 1, atol=1e-4)


def test_features_that_do_not_fit_the_embedding_are_refused():
    features, labels = gaussians()
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    with pytest.raises(ValueError, match=r"\(N, 4\).*shape \(120, 5\), 4 classes"):
        fine_tuning.start_from_discriminants(model.layers[0], None, features, labels)


class Given(keras.callbacks.Callback):
    """Weights of a linear encoder after each epoch, whatever was learnt."""

    def __init__(self, kernels):
        super().__init__()
        self.kernels = kernels

    def on_epoch_end(self, epoch, logs=None):
        self.model.layers[-1].kernel.assign(self.kernels[epoch])


GOOD, BAD = np.eye(2), np.array([[0.0, 0.0], [0.0, 1.0]])


def linear():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, use_bias=False, name="only")])
    model.compile("sgd", "mse")
    return model


def held_out():
    """The first number says the class, the second one nothing."""
    labels = np.array([0, 0, 0, 1, 1, 1])
    images = np.stack([labels * 10.0, [0, 1, 2, 0.1, 1.1, 2.1]], 1).astype("float32")
    return images, labels


def fit(model, kernels, best, begin=0):
    x = np.zeros((2, 2), "float32")
    callbacks = [Given(kernels), best]
    epochs = len(kernels)
    history = model.fit(
        x, x, initial_epoch=begin, epochs=epochs, verbose=0, callbacks=callbacks
    ).history
    return history, values(model.weights)[0]


def test_the_best_epoch_by_the_measure_is_what_remains():
    best = fine_tuning.KeepBest(*held_out())
    history, kernel = fit(linear(), [BAD, GOOD, GOOD * 2, BAD], best)
    np.testing.assert_array_equal(kernel, GOOD)  # of equal epochs the first
    assert (best.epoch, best.value) == (2, 1.0)
    assert history["val_set_map@r"][0] < 1
    assert history["val_set_recall@1"][1] == 1


def test_the_weights_before_the_first_epoch_may_be_the_best():
    model = linear()
    model.layers[-1].kernel.assign(GOOD)
    best = fine_tuning.KeepBest(*held_out(), measure="recall@1", start=True)
    assert best.epoch is None
    _, kernel = fit(model, [BAD], best)
    np.testing.assert_array_equal(kernel, GOOD)
    assert best.epoch == 0


def test_a_resumed_training_knows_the_best_epoch_before(tmp_path):
    fit(linear(), [GOOD, BAD], fine_tuning.KeepBest(*held_out(), folder=tmp_path))
    again = fine_tuning.KeepBest(*held_out(), folder=tmp_path)
    _, kernel = fit(linear(), [GOOD, BAD, BAD], again, begin=2)
    np.testing.assert_array_equal(kernel, GOOD)
    assert again.epoch == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-1.npz", "best.json"]
    other = fine_tuning.KeepBest(*held_out(), folder=tmp_path, measure="recall@1")
    with pytest.raises(ValueError, match="another training.*recall@1.*map@r"):
        fit(linear(), [GOOD], other)


def test_averaged_weights_are_measured_and_kept_and_training_goes_on_from_the_others():
    raw = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raw.append(values(self.model.weights)[0])

        def on_epoch_end(self, epoch, logs=None):
            raw.append(values(self.model.weights)[0])

    images, labels = held_out()
    model = linear()
    model.compile(keras.optimizers.SGD(0.01, use_ema=True, ema_momentum=0.5), "mse")
    callbacks = [fine_tuning.KeepBest(images, labels), Watch()]
    model.fit(images, images, batch_size=3, epochs=1, verbose=0, callbacks=callbacks)
    first, second, after = raw
    np.testing.assert_array_equal(second, after)
    assert np.abs(second - first).max() > 1e-3
    np.testing.assert_allclose(values(model.weights)[0], (first + second) / 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("policy", "optimizer"),
    [("mixed_bfloat16", "LayerwiseAdamW"), ("mixed_float16", "LossScaleOptimizer")],
)
def test_mixed_precision_goes_with_rates_and_the_best_epoch(policy, optimizer):
    keras.config.set_dtype_policy(policy)
    try:
        model = keras.Sequential([keras.Input((2,)), layers.Dense(2, name="only")])
        rates = fine_tuning.layer_rates(model, 0.5)
        model.compile(fine_tuning.LayerwiseAdamW(1e-3, rates=rates, use_ema=True), "mse")
        images, labels = held_out()
        best = fine_tuning.KeepBest(images, labels)
        before = values(model.weights)[0]
        small = images / 100  # the first steps of a scaled loss overflow and are left out
        model.fit(small, small, batch_size=1, epochs=2, verbose=0, callbacks=[best])
    finally:
        keras.config.set_dtype_policy("float32")
    assert type(model.optimizer).__name__ == optimizer
    assert best.epoch
    assert np.abs(values(model.weights)[0] - before).max() > 1e-5


def test_adapters_learn_and_merge_into_a_plain_encoder(encoder, data):
    rest = values([encoder.get_layer("conv").kernel, *encoder.get_layer("norm").weights])
    assert fine_tuning.enable_lora(encoder, rank=2) == ("conv", "inside", "embedding")
    learning = {variable.path.rpartition("/")[2] for variable in encoder.trainable_variables}
    assert learning == {"bias", "lora_kernel_a", "lora_kernel_b"}
    step(encoder, "adam", data, epochs=3)
    assert np.abs(values([encoder.get_layer("conv").kernel])[0] - rest[0]).max() > 1e-6
    for now, then in zip(values(encoder.get_layer("norm").weights), rest[1:], strict=True):
        np.testing.assert_array_equal(now, then)
    merged = fine_tuning.merge_lora(encoder)
    assert not [v for v in merged.weights if "lora" in v.path]
    assert not merged.get_layer("conv").lora_enabled
    np.testing.assert_allclose(
        merged.predict(data[0], verbose=0), encoder.predict(data[0], verbose=0), atol=1e-5
    )
    with pytest.raises(ValueError, match="'small' cannot get adapters.*3 of them"):
        fine_tuning.enable_lora(encoder, rank=2)

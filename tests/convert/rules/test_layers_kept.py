"""What a converted layer keeps: precision, constraints, adapters, formats; and how it is saved."""

import zipfile

import keras
import numpy as np
import pytest
from keras import layers

import keras_metric as km

D = layers.Dense


def flat(fc):
    return lambda x: fc(layers.Flatten()(x))


@pytest.fixture
def exact(array, rng):
    """Equal at the training size and on the window one cell to the right."""

    def check(model, tolerance=1e-5, **options):
        fcn = km.convert.to_fully_convolutional(model, **options)
        report = km.convert.verify(model, fcn)
        assert report.at_original_size <= tolerance
        assert report.on_windows <= tolerance
        return fcn

    return check


@pytest.mark.parametrize(
    ("regularizer", "kept"),
    [("l1", True), ("l2", True), (keras.regularizers.OrthogonalRegularizer(), False)],
)
def test_regularizers(regularizer, kept, net, trunk, array):
    model = net(lambda x: flat(D(3, kernel_regularizer=regularizer, name="fc"))(trunk(x)))
    fcn = km.convert.to_fully_convolutional(model)
    if kept:
        np.testing.assert_allclose(array(sum(fcn.losses)), array(sum(model.losses)), rtol=1e-5)
    else:
        assert not fcn.losses
        assert any("OrthogonalRegularizer" in note for note in fcn.conversion.notes)


@pytest.mark.parametrize("where", ["head", "map", "conv"])
def test_activity_regularizers(where, net, trunk, array, rng):
    """The configuration of a Dense layer does not hold its activity regularizer."""
    kept = {"activity_regularizer": keras.regularizers.L2(0.1)}

    def build(x):
        x = layers.Conv2D(4, 2, **(kept if where == "conv" else {}))(trunk(x))
        x = D(4, **(kept if where == "map" else {}))(x)
        return D(3, **(kept if where == "head" else {}))(layers.Flatten()(x))

    model = net(build)
    fcn = km.convert.to_fully_convolutional(model)
    x = rng.standard_normal((2, 14, 12, 3)).astype("float32")
    model(x)
    fcn(x)
    expected = array(sum(model.losses))
    assert expected > 0
    np.testing.assert_allclose(array(sum(fcn.losses)), expected, rtol=1e-5)


@pytest.mark.parametrize("limit", ["MaxNorm", "UnitNorm", "MinMaxNorm", "NonNeg"])
def test_constraints_bound_the_same_numbers(limit, net, trunk, array):
    constraint = getattr(keras.constraints, limit)()
    model = net(lambda x: flat(D(3, kernel_constraint=constraint, name="fc"))(trunk(x)))
    fcn = km.convert.to_fully_convolutional(model)
    dense, conv = model.get_layer("fc"), fcn.get_layer("fc")
    expected = array(dense.kernel_constraint(3 * dense.kernel.value))
    found = array(conv.kernel_constraint(3 * conv.kernel.value))
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-6)


def test_lora(net, trunk, exact, rng):
    model = net(lambda x: flat(D(3, name="fc"))(layers.Conv2D(5, 1, name="conv")(trunk(x))))
    for name in ("fc", "conv"):
        layer = model.get_layer(name)
        layer.enable_lora(2)
        for weight in (layer.lora_kernel_a, layer.lora_kernel_b):
            weight.assign(rng.normal(0, 0.5, weight.shape))
    exact(model)


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [("mixed_float16", 2e-2), ("mixed_bfloat16", 1e-1), ("float64", 1e-10)],
)
def test_precision(policy, tolerance, array, rng):
    if policy == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX computes in 32 bits unless told otherwise at its start")
    if policy == "float64" and keras.backend.backend() == "torch":
        tolerance = 1e-5  # Keras hands float64 arrays to torch as float32
    image = keras.Input((8, 8, 3), dtype=keras.DTypePolicy(policy).compute_dtype)
    x = layers.Conv2D(4, 3, dtype=policy)(image)
    model = keras.Model(image, D(3, dtype=policy)(layers.Flatten(dtype=policy)(x)))
    fcn = km.convert.to_fully_convolutional(model)
    assert fcn.layers[-1].dtype_policy.name == policy
    x = rng.standard_normal((2, 8, 8, 3))
    np.testing.assert_allclose(array(fcn(x))[:, 0, 0], array(model(x)), atol=tolerance)


def test_normalization_and_rescaling(net, trunk, exact):
    def build(x):
        x = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 9.0])(x)
        adapted = layers.Normalization(name="adapted")
        adapted.adapt(np.random.default_rng(0).normal(3, 2, (8, 14, 12, 3)))
        return flat(D(3))(trunk(layers.Rescaling(0.5, 0.1)(adapted(x))))

    image = keras.Input((14, 12, 3))
    exact(keras.Model(image, build(image)))


@pytest.mark.parametrize("rank", [1, 3])
def test_other_ranks(rank, net, exact):
    conv, pool = getattr(layers, f"Conv{rank}D"), getattr(layers, f"MaxPooling{rank}D")
    average = getattr(layers, f"GlobalAveragePooling{rank}D")
    shape = (*(12, 10, 10)[:rank], 2)

    def trunk(x):
        return conv(4, 3)(pool(2)(conv(3, 3)(x)))

    exact(net(lambda x: flat(D(3))(trunk(x)), shape))
    exact(net(lambda x: D(3)(average()(trunk(x))), shape))
    exact(net(lambda x: D(3)(layers.LayerNormalization()(layers.Flatten()(trunk(x)))), shape))


CHANNELS_FIRST = {
    "flatten": lambda x: flat(D(3))(x),
    "flatten in its own order": lambda x: D(3)(layers.Flatten("channels_first")(x)),
    "average": lambda x: D(3)(layers.GlobalAveragePooling2D("channels_first")(x)),
    "batch norm and softmax": lambda x: D(3, activation="softmax")(
        layers.Flatten()(layers.BatchNormalization(axis=1)(x))
    ),
}


@pytest.mark.parametrize("name", CHANNELS_FIRST)
def test_channels_first(name, net, exact):
    if keras.backend.backend() == "tensorflow" and not _channels_first_runs():
        pytest.skip("this build of TensorFlow has no channels_first convolution")

    def build(x):
        return CHANNELS_FIRST[name](layers.Conv2D(4, 3, data_format="channels_first")(x))

    fcn = exact(net(build, (3, 8, 9)))
    assert fcn.input_shape == (None, 3, None, None)
    assert fcn.output_shape == (None, 3, None, None)


def _channels_first_runs() -> bool:
    try:
        layers.Conv2D(1, 1, data_format="channels_first")(np.zeros((1, 2, 3, 3), "float32"))
    except Exception:
        return False
    return True


def test_the_copy_is_independent(net, trunk, array, rng):
    model = net(lambda x: flat(D(3))(trunk(x)))
    x = rng.standard_normal((2, 14, 12, 3)).astype("float32")
    before = array(model(x))
    fcn = km.convert.to_fully_convolutional(model)
    fcn.compile("sgd", "mse")
    fcn.fit(x, np.ones((2, 1, 1, 3)), verbose=0)
    np.testing.assert_array_equal(array(model(x)), before)
    assert np.abs(array(fcn(x))[:, 0, 0] - before).max() > 1e-4


def test_dropout_and_batch_norm_of_the_source_are_not_touched(net, trunk):
    model = net(lambda x: flat(D(3))(layers.Dropout(0.5)(layers.BatchNormalization()(trunk(x)))))
    before = [np.array(v) for v in model.variables]
    km.convert.to_fully_convolutional(model)
    for old, new in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, np.array(new))


@pytest.mark.parametrize("head", ["convolution", "fallback"])
def test_saves_and_reloads(head, net, trunk, array, rng, tmp_path):
    norm = layers.LayerNormalization() if head == "fallback" else layers.BatchNormalization()
    model = net(lambda x: D(3)(norm(layers.Flatten()(trunk(x)))))
    fcn = km.convert.to_fully_convolutional(model)
    x = rng.standard_normal((2, 20, 16, 3)).astype("float32")
    fcn.save(tmp_path / "fcn.keras")
    again = keras.saving.load_model(tmp_path / "fcn.keras")
    np.testing.assert_array_equal(array(again(x)), array(fcn(x)))
    assert km.convert.verify(model, again, window=(14, 12)).exact


@pytest.mark.parametrize("factors", [2, (3, 1), (4, 5)])
def test_bilinear_upsampling(factors, net, exact, array, rng, tmp_path):
    """Keras traces it for images of one size only; what it becomes runs on any, in any process."""

    def build(x):
        x = layers.UpSampling2D(factors, interpolation="bilinear", name="up")(x)
        return flat(D(3))(layers.Conv2D(4, 3, activation="relu")(x))

    model = net(build, (6, 5, 3))
    fcn = km.convert.to_fully_convolutional(model)
    x = rng.standard_normal((2, 6, 5, 3)).astype("float32")
    np.testing.assert_allclose(array(fcn(x))[:, 0, 0], array(model(x)), atol=1e-5)
    report = km.convert.verify(model, fcn)
    assert report.equal
    assert {fault.layer.split("_")[0] for fault in report.inexact_layers} == {"up"}
    fcn.save(tmp_path / "fcn.keras")
    with zipfile.ZipFile(tmp_path / "fcn.keras") as saved:
        assert b'registered_name": "keras_metric' not in saved.read("config.json")
    again = keras.saving.load_model(tmp_path / "fcn.keras")
    for size in ((6, 5), (9, 11)):
        x = rng.standard_normal((1, *size, 3)).astype("float32")
        np.testing.assert_allclose(again.predict(x, verbose=0), array(fcn(x)), atol=1e-5)


@pytest.mark.tensorflow
def test_exports_with_free_sizes(net, trunk, array, rng, tmp_path):
    import tensorflow as tf

    model = net(lambda x: D(3)(layers.LayerNormalization()(layers.Flatten()(trunk(x)))))
    fcn = km.convert.to_fully_convolutional(model)
    fcn.export(tmp_path / "serving", verbose=False)
    serving = tf.saved_model.load(tmp_path / "serving")
    for size in ((14, 12), (20, 17)):
        x = rng.standard_normal((2, *size, 3)).astype("float32")
        np.testing.assert_allclose(array(serving.serve(x)), array(fcn(x)), atol=1e-5)

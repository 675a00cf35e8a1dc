"""The report: measured differences, and the layers that cause them, by name."""

import numpy as np
import pytest
from keras import layers, ops

import keras_metric as km

D = layers.Dense


def report_of(net, build, shape=(16, 16, 3), **options):
    model = net(build, shape)
    fcn = km.convert.to_fully_convolutional(model, **options)
    return km.convert.verify(model, fcn)


def test_valid_networks_are_exact(net, trunk):
    report = report_of(net, lambda x: D(3)(layers.Flatten()(trunk(x))))
    assert report.equal
    assert report.exact
    assert report.inexact_layers == ()
    assert report.cells == 6
    assert report.agreement == 1
    assert "exact" in str(report)
    assert "NOT" not in str(report)


FAULTS = {
    "same convolution": (
        "border",
        lambda x: D(3)(layers.Flatten()(layers.Conv2D(4, 3, padding="same", name="bad")(x))),
    ),
    "same pooling": (
        "border",
        lambda x: D(3)(
            layers.Flatten()(layers.AveragePooling2D(3, 1, padding="same", name="bad")(x))
        ),
    ),
    "strided same convolution": (
        "phase",
        lambda x: D(3)(layers.Flatten()(layers.Conv2D(4, 3, 2, padding="same", name="bad")(x))),
    ),
    "strided same pooling": (
        "phase",
        lambda x: D(3)(layers.Flatten()(layers.MaxPooling2D(3, 2, padding="same", name="bad")(x))),
    ),
    "squeeze-excite": (
        "whole image",
        lambda x: D(3)(
            layers.GlobalAveragePooling2D()(
                x * layers.Reshape((1, 1, 3))(layers.GlobalAveragePooling2D(name="bad")(x))
            )
        ),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_named(name, net):
    kind, build = FAULTS[name]
    report = report_of(net, build)
    assert report.equal
    assert not report.exact
    assert [(f.layer, f.kind) for f in report.inexact_layers] == [("bad", kind)]
    assert report.on_windows > 1e-3
    assert "bad: " in str(report)
    assert "NOT exact" in str(report)


def tokens(x):
    x = layers.Reshape((-1, 4))(layers.Conv2D(4, 3)(x))
    return D(3)(layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(1, 2)(x, x)))


def upsampled(way):
    def build(x):
        x = layers.Conv2D(3, 3, 2, activation="relu")(x)
        return D(3)(layers.Flatten()(layers.Conv2D(2, 2)(way()(x))))

    return build


MEASURED = {  # whether windows are exact, and the kinds of layers that can be why not
    "attention over tokens": (tokens, True, []),
    "transposed, no overlap": (
        lambda x: D(3)(
            layers.Flatten()(layers.MaxPooling2D(2)(layers.Conv2DTranspose(2, 2, 2)(x)))
        ),
        True,
        [],
    ),
    "transposed": (upsampled(lambda: layers.Conv2DTranspose(2, 3, 2)), False, ["upsampling"]),
    "nearest": (upsampled(lambda: layers.UpSampling2D(2)), False, ["upsampling"]),
    "bilinear": (
        upsampled(lambda: layers.UpSampling2D(2, interpolation="bilinear")),
        False,
        ["upsampling", "upsampling"],  # once along each axis
    ),
}


@pytest.mark.parametrize("name", MEASURED)
def test_the_verdict_is_what_was_measured(name, net, capfd):
    """No layer that the conversion adds is blamed, and no difference is left without a layer."""
    build, exact, kinds = MEASURED[name]
    report = report_of(net, build, (13, 13, 3))
    assert report.exact == exact == (report.on_windows <= report.tolerance)
    assert [layer.kind for layer in report.inexact_layers] == kinds
    assert ("NOT exact" in str(report)) != exact
    assert "not known" not in str(report)
    assert "rendezvous" not in capfd.readouterr().err.lower()


def test_an_exact_measurement_says_what_may_differ_elsewhere(net):
    """Kernels of one tap alone read no neighbors, though the layer pads."""
    model = net(
        lambda x: D(3)(layers.Flatten()(layers.Conv2D(3, 3, padding="same", name="pad")(x)))
    )
    kernel, bias = model.get_layer("pad").get_weights()
    kernel[[0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]] = 0
    model.get_layer("pad").set_weights([kernel, bias])
    report = km.convert.verify(model, km.convert.to_fully_convolutional(model))
    assert report.exact
    assert [layer.layer for layer in report.inexact_layers] == ["pad"]
    assert "on other images a layer can make a difference" in str(report)


def test_zero_padding_and_causal_convolutions(net):
    padded = report_of(
        net, lambda x: D(3)(layers.Flatten()(layers.ZeroPadding2D(1, name="bad")(x)))
    )
    assert [f.layer for f in padded.inexact_layers] == ["bad"]
    causal = report_of(
        net,
        lambda x: D(3)(layers.Flatten()(layers.Conv1D(4, 3, padding="causal", name="bad")(x))),
        (12, 3),
    )
    assert [f.layer for f in causal.inexact_layers] == ["bad"]


def test_networks_that_rescale_are_compared_in_their_own_range(net, trunk):
    """Noise around 0 is nothing to a network that divides by 255: (b) must not rest on it."""
    model = net(lambda x: D(3, name="fc")(layers.Flatten()(trunk(layers.Rescaling(1 / 2550)(x)))))
    fcn = km.convert.to_fully_convolutional(model)
    conv = next(layer for layer in fcn.layers if isinstance(layer, layers.Conv2D))
    kernel, bias = conv.get_weights()
    conv.set_weights([kernel * 1.01, bias])
    report = km.convert.verify(model, fcn)
    assert report.on_windows > 1e-3
    assert not report.exact


def test_outputs_that_are_no_numbers_are_refused(net, trunk):
    model = net(lambda x: D(3)(layers.Flatten()(ops.log(0 * trunk(x) - 1))))
    with pytest.raises(km.convert.ConversionError, match="cannot be checked. Expected: finite"):
        km.convert.to_fully_convolutional(model)


def test_a_wrong_model_is_not_equal(net, trunk):
    model = net(lambda x: D(3, name="fc")(layers.Flatten()(trunk(x))))
    fcn = km.convert.to_fully_convolutional(model)
    kernel, bias = fcn.get_layer("fc").get_weights()
    fcn.get_layer("fc").set_weights([kernel[:, ::-1], bias])
    report = km.convert.verify(model, fcn)
    assert not report.equal
    assert not report.exact
    assert "NOT equal" in str(report)
    assert "fcn is no conversion of this model" in str(report)


def test_rounding_hides_no_wrong_kernel(net):
    """Sums of large terms that cancel: rounding is large, one wrong row in 2645 is larger."""

    def build(x):
        x = layers.Activation("relu")(x + 100)
        return D(2, name="fc")(layers.Flatten()(x))

    model = net(build, (23, 23, 5))
    fc = model.get_layer("fc")
    kernel, bias = fc.get_weights()
    fc.set_weights([kernel - kernel.mean(0), bias])
    fcn = km.convert.to_fully_convolutional(model)
    assert km.convert.verify(model, fcn).exact
    kernel, bias = fcn.get_layer("fc").get_weights()
    kernel[3, 4, 1] += 1
    fcn.get_layer("fc").set_weights([kernel, bias])
    report = km.convert.verify(model, fcn)
    assert not report.equal
    assert not report.exact
    assert report.tolerance < 0.01


def test_a_limit_of_ones_own_is_kept(net, trunk):
    model = net(lambda x: D(3)(layers.BatchNormalization()(layers.Flatten()(trunk(x)))))
    fcn = km.convert.to_fully_convolutional(model)
    report = km.convert.verify(model, fcn, tolerance=1e-12)
    assert report.tolerance == 1e-12
    assert not report.exact
    with pytest.raises(km.convert.ConversionError, match="at most 1e-12"):
        km.convert.to_fully_convolutional(model, tolerance=1e-12)


def test_outputs_that_never_change_are_told(net, trunk):
    """Dead activations: any kernel would pass the check."""
    model = net(lambda x: D(3)(layers.ReLU()(layers.Flatten()(trunk(x)) - 100)))
    fcn = km.convert.to_fully_convolutional(model)
    assert any("output 0 is the same for all random images" in n for n in fcn.conversion.notes)
    alive = km.convert.to_fully_convolutional(net(lambda x: D(3)(layers.Flatten()(trunk(x)))))
    assert alive.conversion.notes == ()


def test_more_cells_than_windows(net, trunk, rng):
    """A window larger than the receptive field: cells whose window leaves the image are skipped."""
    model = net(lambda x: D(3)(layers.Flatten()(trunk(x))), (15, 13, 3))
    fcn = km.convert.to_fully_convolutional(model)
    images = rng.standard_normal((1, 18, 18, 3)).astype("float32")
    assert fcn(images).shape[1:3] == (3, 4)
    report = km.convert.verify(model, fcn, images=images)
    assert report.cells == 2 * 3
    assert report.exact


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": np.zeros((14, 12, 3))}, "do not fit the network"),
        (
            {"images": np.zeros((1, 14, 12, 1))},
            r"Expected: one image or more of shape \('any', 'any'",
        ),
        ({"images": np.zeros((0, 14, 12, 3))}, "do not fit the network"),
        ({"grid": (2,)}, "Expected: 2 numbers of cells"),
        ({"grid": (0, 2)}, "Expected: 2 numbers of cells"),
        ({"batch_size": 0}, "Expected: 1 or more. Received: 0"),
        ({"window": (14,)}, r"Expected: 2 sides.*Received: window=\(14,\)"),
    ],
)
def test_bad_requests(options, message, net, trunk):
    model = net(lambda x: D(3)(layers.Flatten()(trunk(x))), (14, 12, 3))
    fcn = km.convert.to_fully_convolutional(model)
    with pytest.raises(ValueError, match=message):
        km.convert.verify(model, fcn, **options)


def test_images_smaller_than_a_window(net, trunk):
    model = net(lambda x: D(3)(layers.Flatten()(trunk(x))))
    fcn = km.convert.to_fully_convolutional(model)
    with pytest.raises(ValueError, match="smaller than a window"):
        km.convert.verify(model, fcn, images=np.zeros((1, 12, 14, 3), "float32"))


def test_map_reading(net, trunk, array, rng):
    """The mean over the map of logits is the logit of the classifier."""
    logits = D(3, name="fc")
    model = net(lambda x: logits(layers.GlobalAveragePooling2D()(trunk(x))), (14, 12, 3))
    fcn = km.convert.to_fully_convolutional(model, pooling="map")
    x = rng.standard_normal((2, 14, 12, 3)).astype("float32")
    maps = array(fcn(x))
    assert maps.shape == (2, 4, 3, 3)
    np.testing.assert_allclose(maps.mean((1, 2)), array(model(x)), atol=1e-5)
    assert "no windows" in str(km.convert.verify(model, fcn))


def test_a_map_averaged_over_windows_is_the_window_reading(net, trunk, array, rng):
    """On a larger image, single cells of the map are no windows; their means over h x w are."""
    model = net(lambda x: D(3)(layers.GlobalAveragePooling2D()(trunk(x))), (14, 12, 3))
    maps = km.convert.to_fully_convolutional(model, pooling="map")
    windows = array(km.convert.to_fully_convolutional(model)(x := rng.random((1, 20, 22, 3))))
    averaged = array(layers.AveragePooling2D((4, 3), 1)(maps(x)))
    np.testing.assert_allclose(averaged, windows, atol=1e-5 * windows.std())
    assert np.abs(array(maps(x))[:, :4, :6] - windows[:, :4, :6]).max() > 0.1 * windows.std()


@pytest.mark.parametrize("split", [False, True])
def test_map_reading_leaves_the_softmax_out(split, net, trunk, array, rng):
    def build(x):
        pooled = layers.GlobalAveragePooling2D()(trunk(x))
        return layers.Softmax()(D(3)(pooled)) if split else D(3, activation="softmax")(pooled)

    model = net(build)
    fcn = km.convert.to_fully_convolutional(model, pooling="map")
    x = rng.standard_normal((2, 14, 12, 3)).astype("float32")
    mean = array(fcn(x)).mean((1, 2))
    odds = np.exp(mean) / np.exp(mean).sum(-1, keepdims=True)
    np.testing.assert_allclose(odds, array(model(x)), atol=1e-5)
    assert any("logits" in note for note in fcn.conversion.notes)


@pytest.mark.parametrize("kind", ["hidden", "maximum", "norm"])
def test_map_reading_needs_a_linear_head(kind, net, trunk):
    def build(x):
        pool = layers.GlobalMaxPooling2D if kind == "maximum" else layers.GlobalAveragePooling2D
        x = pool()(trunk(x))
        x = layers.LayerNormalization()(x) if kind == "norm" else x
        return D(3)(D(4, activation="relu")(x) if kind == "hidden" else x)

    with pytest.raises(km.convert.ConversionError, match="is not linear|takes a maximum"):
        km.convert.to_fully_convolutional(net(build), pooling="map")

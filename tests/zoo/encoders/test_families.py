"""What is particular to one family."""

import keras
import numpy as np
import pytest

import keras_metric as km
from zoo import encoders

pytestmark = pytest.mark.tensorflow


def parts(model, images, *names):
    tap = keras.Model(model.input, [model.get_layer(name).output for name in names])
    return [keras.ops.convert_to_numpy(part) for part in keras.tree.flatten(tap(images))]


def test_a_new_residual_block_is_the_identity(rng):
    model = encoders.build("resnet18", (16, 16, 1), width=1 / 8)
    images = rng.integers(0, 256, (2, 16, 16, 1), np.uint8)
    before, after = parts(model, images, "stage1_block1_relu", "stage1_block2_relu")
    assert before.max() > 0
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_squeeze_excite_equals_its_equations(rng):
    model = encoders.build("resnet18", (16, 16, 1), width=1 / 2, squeeze_excite=True)
    name = "stage1_block1"
    model.get_layer(f"{name}_norm2").gamma.assign(rng.uniform(1, 2, 32))
    for part in ("reduce", "excite"):
        model.get_layer(f"{name}_se_{part}").bias.assign(
            rng.normal(size=model.get_layer(f"{name}_se_{part}").bias.shape)
        )
    images = rng.integers(0, 256, (2, 16, 16, 1), np.uint8)
    x, scaled = parts(model, images, f"{name}_norm2", f"{name}_se_scale")
    w1, b1 = model.get_layer(f"{name}_se_reduce").get_weights()
    w2, b2 = model.get_layer(f"{name}_se_excite").get_weights()
    assert w1.shape == (1, 1, 32, 2)
    squeezed = np.maximum(x.mean((1, 2)) @ w1[0, 0] + b1, 0)
    gate = 1 / (1 + np.exp(-(squeezed @ w2[0, 0] + b2)))
    np.testing.assert_allclose(scaled, x * gate[:, None, None], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("side", "stem"), [(63, (63, 63)), (64, (16, 16))])
def test_the_stem_follows_the_size_of_the_images(side, stem):
    model = encoders.build("resnet18", (side, side, 3), width=1 / 16)
    assert model.get_layer("stage1_block1_conv1").input.shape[1:3] == stem


def test_windows_of_valid_are_seen_as_if_alone(rng):
    model = encoders.build("valid", (28, 28, 1), embedding=8, width=1 / 8)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == (
        5 * 5 * 4 + 9 * 4 * 8 + 9 * 8 * 16 + 2 * (4 + 8 + 16) + 9 * 16 * 8 + 8
    )
    fcn = km.convert.to_fully_convolutional(model)
    report = km.convert.verify(model, fcn)
    assert report.exact
    assert km.convert.geometry(fcn).stride == (4, 4)


def test_koch_is_the_paper_at_105_and_smaller_below():
    paper = encoders.build("koch", (105, 105, 1), width=1 / 16)
    assert paper.get_layer("block4_conv").output.shape[1:3] == (6, 6)
    assert [paper.get_layer(f"block{i}_conv").kernel_size[0] for i in (1, 2, 3, 4)] == [10, 7, 4, 4]
    small = encoders.build("koch", (52, 52, 1), width=1 / 16)
    assert [small.get_layer(f"block{i}_conv").kernel_size[0] for i in (1, 2, 3, 4)] == [5, 3, 3, 3]
    assert small.get_layer("block4_conv").output.shape[1:3] == (6, 6)
    assert small.get_layer("embedding").activation is keras.activations.sigmoid


def test_grid_keeps_a_quarter_and_sees_38_pixels(rng):
    """A pixel moves the positions whose 4 pixels lie within (38 - 4) / 2 of it, and no other."""
    model = encoders.build("grid", (64, 64, 1), width=1 / 8)
    images = np.zeros((2, 64, 64, 1), np.float32)
    images[1, 32, 32] = 255
    (found,) = parts(model, images, "block3_relu3")
    assert found.shape[1:3] == (16, 16)
    moved = np.flatnonzero(np.ptp(found, axis=0).max((1, 2)) > 0)
    assert [4 * i - 17 <= 32 <= 4 * i + 3 + 17 for i in range(16)] == [
        i in moved for i in range(16)
    ]


@pytest.mark.parametrize(
    ("name", "convolutions"), [("vgg11", 8), ("vgg13", 10), ("vgg16", 13), ("vgg19", 16)]
)
def test_vgg_counts_its_convolutions(name, convolutions):
    model = encoders.build(name, (32, 32, 1), width=1 / 64)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("Conv2D") == convolutions
    assert kinds.count("MaxPooling2D") == 5

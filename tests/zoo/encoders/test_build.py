"""Every family: shapes, saving, training, options, names and errors."""

import subprocess
import sys
from importlib import import_module

import keras
import numpy as np
import pytest

from zoo import encoders

SMALL = {
    "conv4": (16, 20, 1),
    "conv6": (16, 16, 1),
    "simple": (8, 8, 1),
    "grid": (8, 12, 3),
    "koch": (12, 12, 1),
    "valid": (20, 24, 1),
    "alexnet": (63, 63, 3),
    "vgg11": (32, 32, 3),
    "resnet18": (16, 16, 3),
    "resnet50": (16, 16, 1),
}
NARROW = {"width": 1 / 16}


QUICK = ("simple", "resnet18")
EVERY = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.tensorflow) for name in SMALL
]


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 256, (3, *shape), np.uint8) for name, shape in SMALL.items()}


def outputs(model, images):
    return keras.ops.convert_to_numpy(model(images))


@pytest.mark.parametrize("name", EVERY)
def test_an_embedding_network_is_the_same_after_saving(name, batch, tmp_path):
    options = {"squeeze_excite": True} if name.startswith("resnet") else {}
    model = encoders.build(name, SMALL[name], embedding=5, normalize=True, **NARROW, **options)
    before = outputs(model, batch[name])
    assert before.shape == (3, 5)
    np.testing.assert_allclose(np.linalg.norm(before, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(outputs(model, batch[name].astype("float32")), before, atol=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(outputs(again, batch[name]), before, atol=1e-6)
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert model.name == name


@pytest.mark.parametrize("name", ["simple", pytest.param("koch", marks=pytest.mark.tensorflow)])
def test_a_classifier_has_logits_and_learns(name, batch):
    model = encoders.build(name, SMALL[name], classes=3, **NARROW)
    assert model.layers[-1].name == "logits"
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.003), loss)
    history = model.fit(batch[name], np.arange(3), epochs=8, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert min(history[1:]) < history[0]


@pytest.mark.tensorflow
def test_output_without_projection_is_the_pooled_features():
    model = encoders.build("conv4", (28, 28, 1), embedding=None)
    assert model.output_shape == (None, 64)
    assert model.layers[-1].name == "pool"
    probabilities = encoders.build("simple", (8, 8, 1), classes=4, activation="softmax", **NARROW)
    np.testing.assert_allclose(outputs(probabilities, np.zeros((2, 8, 8, 1))).sum(1), 1, atol=1e-5)


@pytest.mark.tensorflow
def test_average_pooling_takes_images_of_any_size(rng):
    model = encoders.build("resnet18", (None, None, 1), embedding=4, **NARROW)
    for side in (70, 90):
        assert outputs(model, rng.uniform(0, 255, (2, side, side + 3, 1))).shape == (2, 4)


@pytest.mark.tensorflow
def test_generalized_means_take_images_of_any_size(tmp_path, rng):
    model = encoders.build("resnet18", (None, None, 1), embedding=4, pooling="gem", **NARROW)
    model.get_layer("pool").exponent.assign(2.0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for side in (35, 45):
        images = rng.uniform(0, 255, (2, side, side + 3, 1))
        np.testing.assert_allclose(outputs(again, images), outputs(model, images), rtol=1e-5)
    assert [w.path for w in model.trainable_weights if "exponent" in w.path] == ["pool/exponent"]


@pytest.mark.tensorflow
def test_hidden_layers_belong_to_flatten():
    def layers(**options):
        model = encoders.build("vgg11", (32, 32, 3), embedding=4, **NARROW, **options)
        return [layer.name for layer in model.layers[-4:]]

    assert layers() == ["pool", "hidden1", "hidden2", "embedding"]
    assert layers(pooling="average")[-2:] == ["pool", "embedding"]
    assert layers(dropout=0.5) == ["hidden2_dropout", "hidden2", "dropout", "embedding"]


@pytest.mark.tensorflow
def test_layer_names_follow_one_scheme():
    def layers(name, shape):
        return [layer.name for layer in encoders.build(name, shape, **NARROW).layers]

    assert layers("conv4", (16, 16, 1))[:6] == [
        "images",
        "scaling",
        "block1_conv",
        "block1_norm",
        "block1_relu",
        "block1_pool",
    ]
    assert "block3_conv2" in layers("vgg11", (32, 32, 3))
    assert {"stem_conv", "stage4_block2_norm2", "stage2_block1_project_conv"} <= set(
        layers("resnet18", (16, 16, 1))
    )


def test_weight_decay_is_added_to_the_loss():
    model = encoders.build("simple", (8, 8, 1), weight_decay=0.01, **NARROW)
    kernels = [weight for weight in model.get_weights() if weight.ndim > 1]
    squares = sum((kernel**2).sum() for kernel in kernels)
    decay = sum(keras.ops.convert_to_numpy(loss) for loss in model.losses)
    assert len(kernels) == 4
    assert decay == pytest.approx(0.01 * squares, rel=1e-5)
    assert encoders.build("simple", (8, 8, 1), **NARROW).losses == []


def test_dropout_acts_in_training_only(batch):
    model = encoders.build("simple", SMALL["simple"], dropout=0.5, **NARROW)
    images = batch["simple"]
    np.testing.assert_array_equal(outputs(model, images), outputs(model, images))
    trained = [keras.ops.convert_to_numpy(model(images, training=True)) for _ in range(2)]
    assert np.abs(trained[0] - trained[1]).max() > 0


def test_names_are_listed_without_keras():
    code = "import sys, zoo.encoders as e; print(*e.names()); sys.exit('keras' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    listed = result.stdout.split()
    assert listed == sorted(encoders.names())
    files = set(encoders._families().values())
    assert all(hasattr(import_module(f"zoo.encoders.{file}"), "FAMILY") for file in files)
    assert {*SMALL, "vgg16", "resnet34", "keras.applications.MobileNetV2"} <= set(listed)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("resnet81", "resnet18"),
        ("MobilNetV2", "MobileNetV2"),
        ("cnv4", "conv4"),
        ("VGG61", "VGG16"),
    ],
)
def test_an_unknown_name_meets_the_nearest(name, nearest):
    with pytest.raises(
        ValueError, match=f"Unknown encoder.*nearest: .*{nearest}.*Received: '{name}'"
    ):
        encoders.build(name, (32, 32, 3))


@pytest.mark.parametrize(
    ("name", "shape", "options", "message"),
    [
        ("conv4", (28, 28), {}, r"Expected: \(height, width, channels\). Received: \(28, 28\)"),
        ("conv4", (8, 8, 1), {}, "too small for conv4. Expected: at least 16 x 16"),
        ("alexnet", (224, 62, 3), {}, "too small for alexnet. Expected: at least 63"),
        ("conv4", (None, 28, 1), {}, "Expected: pooling='average'"),
        ("conv4", (28, 28, 1), {"pooling": "max"}, "Unknown pooling.*Received: 'max'"),
        ("conv4", (28, 28, 1), {"squeeze_excite": True}, "conv4 has no option squeeze_excite"),
        ("conv4", (28, 28, 1), {"weights": "imagenet"}, "Expected: dropout, weight_decay, width"),
        ("conv4", (28, 28, 1), {"width": 0}, "Expected: width > 0"),
        ("conv4", (28, 28, 1), {"dropout": 1.0}, "0 <= dropout < 1"),
        ("conv4", (28, 28, 1), {"embedding": 0}, "Expected: embedding >= 1 or None"),
        ("conv4", (28, 28, 1), {"classes": 3, "normalize": True}, "normalize=False"),
        (
            "MobileNetV2",
            (32, 32, 3),
            {"width": 0.5},
            "has no option width. Expected: dropout, weights",
        ),
        ("MobileNetV2", (32, 32, 2), {}, "Expected: 1 or 3 channels. Received: 2"),
        ("MobileNetV2", (24, 32, 3), {}, "Expected: at least 32 x 32"),
    ],
)
def test_what_does_not_go_together_is_refused(name, shape, options, message):
    with pytest.raises(ValueError, match=message):
        encoders.build(name, shape, **options)

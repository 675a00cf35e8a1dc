"""Backbones of KerasHub by name: small ones with random weights, through the library's own loaders.

KerasHub goes with one minor version of TensorFlow, so these run in an environment of their own:
`make test-slow`.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_metric import cam
from zoo import encoders

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

ROOT = Path(__file__).resolve().parents[3]
SIDE = 28


def test_without_the_package_the_command_is_named():
    if importlib.util.find_spec("keras_hub"):
        pytest.skip("KerasHub is installed")
    with pytest.raises(ImportError, match=r'Expected: pip install "keras-metric\[keras-hub\]"'):
        encoders.build("keras_hub/dinov2_small", (SIDE, SIDE, 3))


@pytest.fixture(scope="module")
def hub():
    return pytest.importorskip("keras_hub")


def transformer(**more):
    return {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, **more}


def towers(models, kind, **projection):
    """A model of pictures and texts, both of 16 dimensions."""
    vision = getattr(models, f"{kind}VisionEncoder")(
        **transformer(patch_size=7, intermediate_dim=32, image_shape=(SIDE, SIDE, 3))
    )
    text = getattr(models, f"{kind}TextEncoder")(
        **transformer(vocabulary_size=30, embedding_dim=16, intermediate_dim=32)
    )
    return getattr(models, f"{kind}Backbone")(vision, text, **projection)


KINDS = {  # what makes one, tokens before those of patches, dimensions of what stands for the whole
    "DINOV2": (
        lambda m: m.DINOV2Backbone(
            **transformer(patch_size=7, intermediate_dim=32, num_register_tokens=2),
            image_shape=(SIDE, SIDE, 3),
            position_embedding_shape=(SIDE, SIDE, 3),
        ),
        3,
        16,
    ),
    "DINOV3": (
        lambda m: m.DINOV3Backbone(
            **transformer(patch_size=7, intermediate_dim=32), image_shape=(SIDE, SIDE, 3)
        ),
        5,
        16,
    ),
    "ViT": (
        lambda m: m.ViTBackbone(
            (SIDE, SIDE, 3), 7, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
        ),
        1,
        16,
    ),
    "CLIP": (lambda m: towers(m, "CLIP", projection_dim=12), 1, 12),
    "SigLIP": (lambda m: towers(m, "SigLIP"), 0, 16),
    "ResNet": (
        lambda m: m.ResNetBackbone([64], [7], [64, 64], [1, 1], [1, 2], "basic_block"),
        0,
        None,
    ),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def preset(hub, kind, tmp_path_factory):
    """The folder of a preset with random weights, and its backbone."""
    folder = str(tmp_path_factory.mktemp("presets") / f"{kind.lower()}.tiny")
    keras.utils.set_random_seed(1)
    backbone = KINDS[kind][0](hub.models)
    backbone.save_to_preset(folder)
    options = {"scale": [1 / 200, 1 / 250, 1 / 300], "offset": [-0.5, -0.4, -0.3]}
    name = "SigLIP" if kind == "SigLIP" else kind
    getattr(hub.layers, f"{name}ImageConverter")(image_size=(SIDE, SIDE), **options).save_to_preset(
        folder
    )
    return folder, backbone


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (2, SIDE, SIDE, 3)).astype("float32")


def scaled(images):
    return images * np.array([1 / 200, 1 / 250, 1 / 300]) + np.array([-0.5, -0.4, -0.3])


def outputs(backbone, images, kind):
    """Tokens or map, and what stands for the whole image, of the backbone called by hand."""
    network = getattr(backbone, "vision_encoder", backbone)
    inputs = keras.tree.map_structure(lambda _: scaled(images), network.input)
    if kind == "SigLIP":
        tokens = keras.Model(network.input, network.post_layer_norm.output)(inputs)
        return np.array(tokens), np.array(network(inputs))
    tokens = np.array(network(inputs))
    if kind == "CLIP":
        return tokens, np.array(backbone.get_vision_embeddings(scaled(images)))
    return tokens, tokens[:, 0]


def test_features_are_the_patches_and_the_embedding_their_mean(preset, kind, images):
    folder, backbone = preset
    model = encoders.build(f"keras_hub/{folder}", (SIDE, SIDE, 3), embedding=None)
    expected, _ = outputs(backbone, images, kind)
    expected = expected[:, KINDS[kind][1] :] if expected.ndim == 3 else expected
    found = model.predict(images, verbose=0)
    mean = expected.reshape(len(images), -1, expected.shape[-1]).mean(axis=1)
    np.testing.assert_allclose(found, mean, rtol=1e-4, atol=1e-4)
    top = model.get_layer("pool").input
    assert len(top.shape) == 4
    features = keras.Model(model.input, top).predict(images, verbose=0)
    np.testing.assert_allclose(
        features.reshape(2, -1, features.shape[-1]),
        expected.reshape(2, -1, expected.shape[-1]),
        rtol=1e-4,
        atol=1e-4,
    )


def test_the_class_token(preset, kind, images):
    folder, backbone = preset
    arguments = (f"keras_hub/{folder}", (SIDE, SIDE, 3))
    if KINDS[kind][2] is None:
        with pytest.raises(ValueError, match="no token for the whole image. Expected: pooling='av"):
            encoders.build(*arguments, pooling="class_token")
        return
    model = encoders.build(*arguments, embedding=None, pooling="class_token")
    found = model.predict(images, verbose=0)
    np.testing.assert_allclose(found, outputs(backbone, images, kind)[1], rtol=1e-4, atol=1e-4)
    assert found.shape == (2, KINDS[kind][2])


def test_maps_saved_models_and_new_heads(preset, kind, images, tmp_path):
    folder, _ = preset
    model = encoders.build(f"keras_hub/{folder}", (SIDE, SIDE, 3), embedding=8, normalize=True)
    found = cam.SimilarityCAM(model)(images[:1], images[1:])
    assert found.exact
    assert float(found.first.sum()) == pytest.approx(float(found.similarity[0]), abs=1e-4)
    classifier = encoders.build(f"keras_hub/{folder}", (SIDE, SIDE, 3), classes=3)
    maps = cam.CAM(classifier)(images, classes=1)
    assert maps.shape == (2, SIDE, SIDE)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    program = (
        "import numpy, zoo; model = zoo.load('model.keras'); "
        "numpy.save('answers.npy', model.predict(numpy.load('images.npy'), verbose=0))"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    again = np.load(tmp_path / "answers.npy")
    np.testing.assert_allclose(again, model.predict(images, verbose=0), atol=1e-6)


def test_other_sizes(preset, kind, rng):
    folder, _ = preset
    shape = (56, 56, 3)
    if kind in ("DINOV2", "DINOV3", "ResNet"):
        model = encoders.build(f"keras_hub/{folder}", shape, embedding=None)
        assert np.isfinite(model.predict(rng.uniform(0, 255, (1, *shape)), verbose=0)).all()
        return
    with pytest.raises(ValueError, match=r"one size. Expected: input_shape=\(28, 28, 3\)"):
        encoders.build(f"keras_hub/{folder}", shape)


def test_gray_images_are_repeated(preset, images):
    folder, _ = preset
    gray = encoders.build(f"keras_hub/{folder}", (SIDE, SIDE, 1), embedding=None)
    rgb = encoders.build(f"keras_hub/{folder}", (SIDE, SIDE, 3), embedding=None)
    one = images[..., :1]
    np.testing.assert_allclose(
        gray.predict(one, verbose=0), rgb.predict(np.repeat(one, 3, -1), verbose=0), atol=1e-5
    )


def test_a_preset_that_is_not_known(hub):
    with pytest.raises(ValueError, match="Expected: dinov2_small.*Received: 'dinov2_smal'"):
        encoders.build("keras_hub/dinov2_smal", (SIDE, SIDE, 3))


def test_offline_it_says_what_is_missing(hub, monkeypatch, tmp_path):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match="could not be loaded. Expected: a network conn.*Rec"):
        encoders.build("keras_hub/dinov2_small", (224, 224, 3))


def test_a_network_of_texts_is_refused(hub, tmp_path):
    bert = hub.models.BertBackbone(30, **transformer(intermediate_dim=32))
    bert.save_to_preset(str(tmp_path / "bert"))
    with pytest.raises(ValueError, match="no network of pictures alone.*Received: BertBackbone"):
        encoders.build(f"keras_hub/{tmp_path / 'bert'}", (SIDE, SIDE, 3))

"""Architectures that people load: the layer found, and exact maps where pooling is global."""

import keras
import numpy as np
import pytest

from keras_metric.cam import CAM

pytestmark = [pytest.mark.slow]

EXACT = {
    "ResNet50": "conv5_block3_out",
    "ResNet50V2": "post_relu",
    "MobileNet": "conv_pw_13_relu",
    "MobileNetV2": "out_relu",
    "EfficientNetB0": "top_activation",
    "DenseNet121": "relu",
    "Xception": "block14_sepconv2_act",
    "NASNetMobile": None,
}
REFUSED = ["VGG16", "ConvNeXtTiny", "MobileNetV3Small"]


def build(name):
    return getattr(keras.applications, name)(weights=None, input_shape=(96, 96, 3), classes=10)


@pytest.mark.parametrize("name", EXACT)
def test_exact_map_of_the_tensor_that_pooling_reads(name, rng):
    model, images = build(name), rng.normal(size=(2, 96, 96, 3)).astype("float32")
    cam = CAM(model)
    pooling = [x for x in model.layers if isinstance(x, keras.layers.GlobalAveragePooling2D)]
    read = pooling[-1].input._keras_history.operation.name
    assert cam.layer_name == read
    assert EXACT[name] in (None, read)
    found = cam.completeness(images, "all")
    scale = max(1.0, np.abs(found.score).max())
    assert np.abs(found.residual).max() < 1e-5 * scale


@pytest.mark.parametrize("name", REFUSED)
def test_other_heads_are_refused_and_gradcam_goes_on(name, rng):
    model, images = build(name), rng.normal(size=(2, 96, 96, 3)).astype("float32")
    with pytest.raises(ValueError, match="not linear over the positions"):
        CAM(model)
    assert CAM(model, "gradcam")(images).shape == (2, 96, 96)

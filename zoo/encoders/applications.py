"""Every network of keras.applications, with its own preprocessing inside the model.

`weights="imagenet"` downloads the published weights. Grey images are repeated into three channels.
"""

from http.client import HTTPException
from urllib.error import URLError

import keras

from zoo.encoders._parts import Family, rgb
from zoo.encoders.layers import ImageNetScaling

NAMES = (
    "keras.applications.ConvNeXtBase",
    "keras.applications.ConvNeXtLarge",
    "keras.applications.ConvNeXtSmall",
    "keras.applications.ConvNeXtTiny",
    "keras.applications.ConvNeXtXLarge",
    "keras.applications.DenseNet121",
    "keras.applications.DenseNet169",
    "keras.applications.DenseNet201",
    "keras.applications.EfficientNetB0",
    "keras.applications.EfficientNetB1",
    "keras.applications.EfficientNetB2",
    "keras.applications.EfficientNetB3",
    "keras.applications.EfficientNetB4",
    "keras.applications.EfficientNetB5",
    "keras.applications.EfficientNetB6",
    "keras.applications.EfficientNetB7",
    "keras.applications.EfficientNetV2B0",
    "keras.applications.EfficientNetV2B1",
    "keras.applications.EfficientNetV2B2",
    "keras.applications.EfficientNetV2B3",
    "keras.applications.EfficientNetV2L",
    "keras.applications.EfficientNetV2M",
    "keras.applications.EfficientNetV2S",
    "keras.applications.InceptionResNetV2",
    "keras.applications.InceptionV3",
    "keras.applications.MobileNet",
    "keras.applications.MobileNetV2",
    "keras.applications.MobileNetV3Large",
    "keras.applications.MobileNetV3Small",
    "keras.applications.NASNetLarge",
    "keras.applications.NASNetMobile",
    "keras.applications.ResNet101",
    "keras.applications.ResNet101V2",
    "keras.applications.ResNet152",
    "keras.applications.ResNet152V2",
    "keras.applications.ResNet50",
    "keras.applications.ResNet50V2",
    "keras.applications.VGG16",
    "keras.applications.VGG19",
    "keras.applications.Xception",
)

# The values each family's ImageNet weights expect; the others scale inside their own graph.
_SCALING = {
    "DenseNet": "torch",
    "Inception": "tf",
    "MobileNet": "tf",
    "NASNet": "tf",
    "ResNet": "caffe",
    "VGG": "caffe",
    "Xception": "tf",
}


def scaling(name: str) -> str | None:
    """The mode of `ImageNetScaling` for the network `name`; None when it scales by itself."""
    if name.startswith("MobileNetV3"):
        return None
    if name.startswith("ResNet") and name.endswith("V2"):
        return "tf"
    return next((mode for start, mode in _SCALING.items() if name.startswith(start)), None)


def is_offline(error: Exception) -> bool:
    """Whether Keras raised this because a file could not be downloaded.

    It raises a bare `Exception` while it handles that of urllib.
    """
    network = URLError | HTTPException | ConnectionError | TimeoutError
    return isinstance(error, network) or isinstance(error.__context__, network)


def _features(images, name, options):
    name = name.rpartition(".")[-1]
    x = rgb(images)
    mode = scaling(name)
    if mode is not None:
        x = ImageNetScaling(mode, name="scaling")(x)
    network = getattr(keras.applications, name)
    try:
        return network(
            include_top=False,
            weights=options.weights,
            input_tensor=x,
            input_shape=tuple(x.shape[1:]),
        ).output
    except Exception as error:
        if not is_offline(error):
            raise
        raise ConnectionError(
            f"The weights of {name} could not be downloaded. Expected: a network connection, or "
            f"weights=None for random ones. Received: {error}"
        ) from error


FAMILY = Family(_features, smallest=32, accepts=frozenset({"weights"}))

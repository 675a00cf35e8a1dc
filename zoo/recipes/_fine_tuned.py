"""What the recipes that fine-tune EfficientNet-Lite0 share with `keras-metric train PHOTOS`."""

from keras_metric import Preprocessing
from zoo.photographs import learning
from zoo.recipe import Settings

build = learning.build
SETTINGS = {
    "seed": 0,
    "backbone": "efficientnet_lite0",
    "weights": "imagenet",
    "embedding": 128,
    "loss": learning.NORMALIZED_SOFTMAX,
    "scale": 16.0,
    "label_smoothing": 0.1,
    "start": "discriminants",
    "frozen": 0.2,
    "first_rate": 0.1,
    "learning_rate": 1e-3,
    "weight_decay": 1e-4,
    "ema": False,
    "best_by": "map@r",
    "minutes": 0.0,
    "workers": 2,
}


def preprocessing(settings: Settings) -> Preprocessing:
    """Pictures are stretched; their margins, if they are transparent, are white."""
    return Preprocessing((settings["side"],) * 2, fill=255)

"""What the recipes that fine-tune EfficientNet-Lite0 share with `keras-metric train PHOTOS`."""

from keras_metric import Preprocessing
from zoo.photographs import learning, recipe
from zoo.recipe import Settings

build = learning.build
SHARED = (
    *("seed", "embedding", "scale", "label_smoothing", "frozen", "first_rate", "learning_rate"),
    *("weight_decay", "ema", "best_by", "minutes", "workers"),
)
SETTINGS = {
    **{name: recipe.RECIPE.settings[name] for name in SHARED},
    "backbone": "efficientnet_lite0",
    "weights": "imagenet",
    "loss": learning.NORMALIZED_SOFTMAX,
    "start": "discriminants",
}


def preprocessing(settings: Settings) -> Preprocessing:
    """Pictures are stretched; transparent parts become white."""
    return Preprocessing((settings["side"],) * 2, fill=255)

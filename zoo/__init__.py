"""Recipes for models: train, evaluate, and export as SavedModels.

    import zoo
    zoo.names("*omniglot*")                  the recipes
    zoo.trained("*omniglot*")                the trained models in this package
    zoo.train("digits-triplet", out="out")   a model, its metrics, pictures and card
    zoo.evaluate("out")                      evaluate the saved model again
    zoo.export("out")                        a SavedModel for TensorFlow Serving
    zoo.load("out")                          the Keras model; also of hf://OWNER/NAME, and
                                             "omniglot-infonce" or another trained model
    zoo.preprocessing("out")                 how a picture becomes the input of the model
    zoo.load_index("out")                    its index, with the model as the encoder
    zoo.save("out", "preset")                model, labels, threshold, card, SavedModel: a folder
    zoo.publish("preset", "hf://me/digits")  publish that folder on a hub
    zoo.fine_tuning                          freeze, rates by layer, warm-up, best epoch, LoRA

Importing the zoo and listing its recipes loads neither Keras nor a backend.
"""

from importlib import import_module

from keras_metric.saved_classes import register
from zoo.pretrained import trained
from zoo.recipe import Recipe, get, names

_LAZY = {
    "evaluate": "zoo.evaluation.evaluation",
    "export": "zoo.runs.exporting",
    "fetch": "zoo.runs.hub",
    "load": "zoo.runs.runs",
    "load_index": "zoo.runs.searchable",
    "preprocessing": "zoo.runs.preprocessing",
    "preset": "zoo.runs.presets",
    "publish": "zoo.runs.hub",
    "save": "zoo.runs.presets",
    "train": "zoo.training.training",
}

_MODULES = {"fine_tuning": "zoo.training.fine_tuning"}

__all__ = ["Recipe", "get", "names", "trained", *_LAZY, *_MODULES]


register(  # a .keras file may name layers of the zoo
    "zoo",
    {
        "zoo.encoders.committee": "zoo.encoders.ensemble",
        "zoo.training.each_member": "zoo.encoders.ensemble",
    },
)


register("keras_hub")  # and layers of KerasHub: `zoo.encoders.hub_presets`


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _MODULES:
        return import_module(_MODULES[name])
    raise AttributeError(
        f"zoo has no such attribute. Expected: one of {', '.join(__all__)}. Received: {name!r}."
    )

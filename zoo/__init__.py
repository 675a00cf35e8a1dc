"""Models that train, measure themselves and leave as SavedModels.

    import zoo
    zoo.names("*omniglot*")                  the recipes
    zoo.train("digits-triplet", out="out")   a model, its metrics, pictures and card
    zoo.evaluate("out")                      measured again, from what the run left behind
    zoo.export("out")                        a SavedModel for TensorFlow Serving
    zoo.load("out")                          the Keras model; also of hf://OWNER/NAME
    zoo.load_index("out")                    its index, with the model as the encoder
    zoo.save("out", "preset")                model, labels, threshold, card, SavedModel: a folder
    zoo.publish("preset", "hf://me/digits")  that folder on a hub

Importing the zoo, and listing it, loads neither Keras nor a backend.
"""

from importlib import import_module

from zoo.recipe import Recipe, get, names

_LAZY = {
    "evaluate": "zoo.evaluation",
    "export": "zoo.exporting",
    "fetch": "zoo.hub",
    "load": "zoo.runs",
    "load_index": "zoo.searchable",
    "preset": "zoo.presets",
    "publish": "zoo.hub",
    "save": "zoo.presets",
    "train": "zoo.training",
}

__all__ = ["Recipe", "get", "names", *_LAZY]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"zoo has no attribute {name!r}. Expected one of: {', '.join(__all__)}.")

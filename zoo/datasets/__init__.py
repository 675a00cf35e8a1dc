"""Datasets: every loader returns `Images`, labeled arrays in memory, without loading Keras.

from zoo.datasets import digits, omniglot
images = digits.load()
"""

from importlib import import_module

from zoo.datasets.images import Images, split_by_class, stratified_split

_LOADERS = {
    "bccd": "sources.bccd",
    "clothing": "sources.clothing",
    "digit_scenes": "sources.digit_scenes",
    "digits": "sources.digits",
    "emoji": "sources.emoji",
    "folders": "reading.folders",
    "omniglot": "sources.omniglot",
}

__all__ = ["Images", "split_by_class", "stratified_split", *_LOADERS]


def __getattr__(name: str):
    if name in _LOADERS:
        return import_module(f"zoo.datasets.{_LOADERS[name]}")
    raise AttributeError(
        f"zoo.datasets has no such attribute. Expected: one of {', '.join(__all__)}. Received: "
        f"{name!r}."
    )

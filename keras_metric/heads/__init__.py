"""Heads: layers that own the class weights, each with its loss.

    head = heads.ArcFace(classes=100, margin=0.5)
    model = keras.Sequential([encoder, head])
    model.compile("adam", loss=head.loss(), metrics=["sparse_categorical_accuracy"])
    model.fit(images, labels)

The layer turns embeddings (B, D) into scaled similarities to the classes, (B, classes). These are
logits: the largest is the predicted class, and an ordinary
`keras.losses.SparseCategoricalCrossentropy(from_logits=True)` works on them too. What a head does
to the true class (its margin) is done by `head.loss()`, where the labels are. The weights are the
layer's: one optimizer moves them, one `.keras` file holds them.
"""

from . import margins, proxies
from .margins import *  # noqa: F403
from .proxies import *  # noqa: F403

__all__ = [*margins.__all__, *proxies.__all__]

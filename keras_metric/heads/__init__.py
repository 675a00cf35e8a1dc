"""Heads: layers with trainable class weights, each with its loss.

    head = heads.ArcFace(classes=100, margin=0.5)
    model = keras.Sequential([encoder, head])
    model.compile("adam", loss=head.loss(), metrics=["sparse_categorical_accuracy"])
    model.fit(images, labels)

The layer turns embeddings (B, D) into scaled similarities to the classes, (B, classes). These are
logits: the largest is the predicted class, and an ordinary
`keras.losses.SparseCategoricalCrossentropy(from_logits=True)` works on them too. The margin of the
true class is applied by `head.loss()`, which has the labels. The weights belong to the layer: they
are trained by the model's optimizer and saved in its `.keras` file.
"""

from . import margins, proxies
from .margins import *  # noqa: F403
from .proxies import *  # noqa: F403

__all__ = [*margins.__all__, *proxies.__all__]

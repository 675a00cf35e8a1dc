"""Classification and semi-hard triplets at once, on handwritten digits; five digits unseen.

    keras-metric train digits-joint

Zhang, Zhou, Lin and Zhang, "Embedding Label Structures for Fine-Grained Feature Representation",
2016, arXiv:1512.02895, section 3.1: the softmax loss and the triplet loss of one network, weighed.
The classifier reads the features that the embedding reads, and serves training alone. Data and
measure are those of digits-triplet.
"""

import keras

from keras_metric.batches import PKBatches
from keras_metric.losses import TripletLoss
from zoo import objectives
from zoo.experiment import Experiment
from zoo.recipes import _digits


class ForBoth(PKBatches):
    """Batches whose labels go to the embeddings and to the classes."""

    def batch(self, epoch, number):
        images, labels = super().batch(epoch, number)
        return images, {"embeddings": labels, "classes": labels}


def objective(settings, encoder, split):
    features = encoder.get_layer("embedding").output
    classes = keras.layers.Dense(len(split.train.names), name="classes")(features)
    both = keras.Model(encoder.input, {"embeddings": encoder.output, "classes": classes})
    share = settings["classification"]
    both.compile(
        objectives.adam(settings),
        loss={
            "embeddings": TripletLoss(settings["margin"]),
            "classes": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        },
        loss_weights={"embeddings": 1 - share, "classes": share},
    )
    batches = objectives.labelled_batches(settings, split, augment=_digits.augment, batches=ForBoth)
    return Experiment(both, *batches)


RECIPE = _digits.recipe(
    objective, {"margin": 0.2, "classification": 0.2}, data=_digits.numbered_classes
)

"""What the recipes on photographs of clothes share: the split, the net, the measures."""

import keras
import numpy as np

from keras_metric import Preprocessing
from zoo import encoders
from zoo.datasets import stratified_split
from zoo.datasets.augmentation.crops import Crop
from zoo.datasets.reading._extras import need
from zoo.datasets.sources import clothing
from zoo.encoders.ensemble import AS_IS, ensemble
from zoo.encoders.layers import UnitLength
from zoo.evaluation import protocols
from zoo.recipe import Settings
from zoo.training.experiments import Results, Split

NET = "resnet18"
HELD_OUT = 0.15  # of the training photos, the same ones whatever the seed
VOTERS = 20
LICENSE = "CC0 (Alexey Grigorev, Clothing dataset)"
SETTINGS = {
    "seed": 0,
    "epochs": 30,
    "batches_per_epoch": 43,
    "side": 64,
    "width": 0.25,
    "learning_rate": 3e-3,
}
PROTOCOL = (
    "Evaluated on the 341 published validation photos, on which nothing was chosen: settings were "
    "chosen on the 15 % of the training photos that are not trained on. `recall@1` and `map@r` "
    f"search each photo among the others; nearest neighbors are the {VOTERS} nearest of the "
    "training photos, whose most frequent class counts."
)
PROTOCOL_OF_HOME = (
    "Measured on the 341 validation photos of the home, which nothing was chosen on. "
    "`recall@1` and `map@r` search each photo among the others; `accuracy` is that of a vote of "
    f"the {VOTERS} nearest of the photos trained on. The classes are those trained on."
)
LIMITS = (
    "The embedding is meant for comparing photos of one piece of clothing each by their "
    "distance. It tells the ten kinds of clothes of its training apart, not pieces of one kind."
)

augment = Crop()


def preprocessing(settings: Settings) -> Preprocessing:
    """Clothes keep their shape, on white."""
    return Preprocessing((settings["side"],) * 2, resize="letterbox", fill=255)


def data(settings: Settings, folder) -> Split:
    need("faiss", extra="search", purpose="The vote of the nearest photos")
    made = preprocessing(settings)
    known, asked = (clothing.load(split, folder, size=made) for split in clothing.SPLITS)
    return Split(*stratified_split(known, HELD_OUT, seed=0), asked)


def build(settings: Settings, split: Split, **options) -> keras.Model:
    return encoders.build(NET, split.train.shape, width=settings["width"], **options)


def measured(encoder: keras.Model, split: Split) -> Results:
    """recall@1 and MAP@R among the test photos, accuracy of a vote of the nearest known ones."""
    found, _ = protocols.retrieval(encoder, split.test)
    accuracy = protocols.knn_accuracy(encoder, split.train, split.test, k=VOTERS)
    return {"recall@1": found["recall@1"], "map@r": found["map@r"], "accuracy": accuracy}


def of_classifier(classifier: keras.Model, split: Split) -> dict[str, Results]:
    """What a classifier is worth: by its classes, and by the features before its last layer."""
    features = keras.Model(classifier.input, classifier.get_layer("pool").output)
    right = classes(classifier, split.test.images) == split.test.labels
    return {
        "its classes": {"accuracy": round(float(right.mean()), 6)},
        "its features": measured(features, split),
        "its features, both sides": measured(both_sides(features), split),
    }


def both_sides(encoder: keras.Model) -> keras.Model:
    """The mean direction of what a photo and its mirror image are embedded to."""
    long = keras.Model(encoder.input, UnitLength(name="unit_length")(encoder.output))
    return ensemble([long], AS_IS, mirror=True)


def classes(classifier: keras.Model, images: np.ndarray) -> np.ndarray:
    """The best class of each image."""
    return protocols.embed(classifier, images).argmax(1)


def raw_pixels(split: Split) -> Results:
    """The same without learning."""
    image = keras.Input(split.test.shape)
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    return measured(keras.Model(image, flat), split)

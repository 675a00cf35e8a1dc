"""Fine-tuning begins with the discriminants of what the frozen backbone gives."""

import keras
import numpy as np
import pytest

import zoo
from zoo.datasets.reading.photographs import as_setting
from zoo.photographs import learning
from zoo.photographs.embedding import embedded, frozen

pytestmark = pytest.mark.tensorflow


def planned(shapes, **settings):
    recipe = zoo.get("photographs")
    given = {"photos": as_setting([shapes]), "size": 64, "backbone": "efficientnet_lite0"}
    settings = recipe.plan(recipe.resolve_settings({**given, **settings}))
    return settings, recipe.data(settings, None)


def test_training_begins_where_discriminants_end(shapes):
    settings, split = planned(shapes)
    assert (settings["loss"], settings["start"]) == ("normalized_softmax", "discriminants")
    keras.utils.set_random_seed(0)
    model = learning.build(settings, split)
    headed = learning.experiment(settings, model, split).model
    features = embedded(frozen(settings["backbone"], split.train.shape), split.train).embeddings
    kernel, bias = model.get_layer("embedding").get_weights()
    projected = features @ kernel + bias
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    begun = embedded(model, split.train)
    np.testing.assert_allclose(begun.embeddings, projected, atol=1e-4)
    centers = np.asarray(headed.layers[-1].class_weights)
    for label, center in enumerate(centers):
        mean = (features @ kernel + bias)[split.train.labels == label].mean(0)
        np.testing.assert_allclose(center, mean / np.linalg.norm(mean), atol=1e-4)
    assert ((begun.embeddings @ centers.T).argmax(axis=1) == split.train.labels).mean() > 0.95


def test_it_may_begin_at_random(shapes):
    settings, split = planned(shapes, start="random")
    model = learning.build(settings, split)
    before = model.get_layer("embedding").get_weights()[0]
    learning.experiment(settings, model, split)
    np.testing.assert_array_equal(model.get_layer("embedding").get_weights()[0], before)
    with pytest.raises(
        ValueError, match="cannot start there.*Received: start=discriminants.*joint"
    ):
        planned(shapes, start="discriminants", loss="joint")


@pytest.mark.parametrize("most", [3, 8, 40, 70, 90, 200])
def test_of_each_class_as_many(shapes, most):
    _, split = planned(shapes, start="random")
    photos = split.train
    found = learning.of_each_class(photos, most)
    sizes = np.bincount(found.labels, minlength=len(photos.names))
    cap = sizes.max()
    np.testing.assert_array_equal(sizes, np.minimum(np.bincount(photos.labels), cap))
    assert sizes.min() >= 1
    assert len(found) <= max(most, len(photos.names))
    assert len(found) == len(photos) or len(found) + len(photos.names) > most

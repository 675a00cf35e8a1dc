"""What a pass must not contain: tensors of pairs of positions, a product for every class."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_metric.cam import CAM, SimilarityCAM
from keras_metric.cam.similarity.shares import Measure, embedded, pair, pairs_of_positions

pytestmark = pytest.mark.tensorflow
SIZE = (20, 18, 1)
POSITIONS = 20 * 18
CLASSES = 7


def classifier():
    image = keras.Input(SIZE)
    features = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    pooled = layers.GlobalAveragePooling2D()(features)
    return keras.Model(image, layers.Dense(CLASSES)(pooled))


def operations(function, *arrays):
    """All operations of the traced function."""
    import tensorflow as tf

    traced = tf.function(function, autograph=False).get_concrete_function(*arrays)
    return traced.graph.get_operations()


def largest(found) -> int:
    shapes = [tensor.shape for operation in found for tensor in operation.outputs]
    return max(int(np.prod(s)) for s in shapes if s.rank is not None and None not in s)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "squared_l2"])
def test_pairs_of_positions_are_formed_for_point_maps_only(similarity, rng):
    cam = SimilarityCAM(classifier(), similarity=similarity)
    images = rng.normal(size=(1, *SIZE)).astype("float32")
    plan, unit_length = cam._plan(images)
    measure = Measure(similarity, unit_length, 1)

    def both(function, **arguments):
        return lambda a, b: function(measure, embedded(plan, a), embedded(plan, b), **arguments)

    assert largest(operations(both(pair), images, images)) < 10 * POSITIONS
    points = operations(both(pairs_of_positions, at=None), images, images)
    assert largest(points) == POSITIONS**2


def test_all_classes_take_one_product(rng):
    images = rng.normal(size=(2, *SIZE)).astype("float32")
    runner = CAM(classifier())._runner(images)
    found = operations(lambda x: runner.all_maps(x)[0], images)
    products = [operation for operation in found if "MatMul" in operation.type]
    assert len(products) == 2  # the head's own, and that of the maps
    assert sum(POSITIONS in tuple(p.outputs[0].shape) or 2 * POSITIONS in tuple(p.outputs[0].shape)
               for p in products) == 1  # fmt: skip

"""Numbers of weights, as published; nothing is allocated, so that large networks cost nothing."""

import math

import keras
import pytest

from zoo import encoders

pytestmark = pytest.mark.tensorflow  # a count is the same on every backend

IMAGENET = {"input_shape": (224, 224, 3), "classes": 1000}


@pytest.fixture(autouse=True)
def without_values():
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session()


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        # Vinyals' net with a bias before each of its 4 x 64 normalisations has 111,936.
        ("conv4", {"input_shape": (28, 28, 1), "embedding": None}, 111_936 - 256),
        ("koch", {"input_shape": (105, 105, 1), "embedding": 4096}, 38_947_648),
        ("alexnet", IMAGENET, 61_100_840),
        ("vgg11", IMAGENET, 132_863_336),
        ("vgg13", IMAGENET, 133_047_848),
        ("vgg16", IMAGENET, 138_357_544),
        ("vgg19", IMAGENET, 143_667_240),
        ("resnet18", IMAGENET, 11_689_512),
        ("resnet34", IMAGENET, 21_797_672),
        ("resnet50", IMAGENET, 25_557_032),
        ("resnet50", {**IMAGENET, "squeeze_excite": True}, 28_088_024),
    ],
)
def test_weights_are_as_many_as_published(name, options, count):
    model = encoders.build(name, **options)
    assert sum(math.prod(variable.shape) for variable in model.trainable_variables) == count

"""An ensemble: its views pixel by pixel, and its embedding by hand."""

import keras
import numpy as np
import pytest
from keras import layers

from zoo.encoders.ensemble import AS_IS, VIEWS, Views, ensemble, members
from zoo.encoders.layers import UnitLength

pytestmark = pytest.mark.every_backend


def seen(view, images):
    return keras.ops.convert_to_numpy(Views([view])(images))[0]


def encoder(shape, number):
    keras.utils.set_random_seed(number)
    stack = [keras.Input(shape), layers.Flatten(), layers.Dense(3), UnitLength()]
    return keras.Sequential(stack, name=f"member{number}")


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ((0, 1, 0, 0), lambda x: x),
        ((0, 1, 0.25, 0), lambda x: np.pad(x, ((2, 0), (0, 0)))[:8]),
        ((0, 1, 0, -0.125), lambda x: np.pad(x, ((0, 0), (0, 1)))[:, 1:]),
        ((90, 1, 0, 0), lambda x: np.rot90(x, -1)),
    ],
)
def test_a_view_is_the_image_moved(view, expected, rng):
    image = rng.integers(0, 256, (8, 8)).astype("float32")
    images = np.stack([image, image[::-1]])[..., None]
    found = seen(view, images)
    for one, original in zip(found, images, strict=True):
        np.testing.assert_allclose(one[..., 0], expected(original[..., 0]), atol=2e-2)


def test_a_smaller_view_keeps_the_middle_and_brings_in_black():
    image = np.zeros((1, 9, 9, 1), "float32")
    image[0, 4, 4] = image[0, 4, 8] = 100
    smaller = seen((0, 0.5, 0, 0), image)[0, ..., 0]
    assert smaller[4, 4] == pytest.approx(100, abs=1e-2)
    assert smaller[4, 6] == pytest.approx(100, abs=1e-2)
    assert smaller[:, [0, 8]].max() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("power", [1, 0.5])
def test_the_embedding_is_the_mean_over_views_of_all_members(power, rng):
    shape = (12, 12, 1)
    encoders = [encoder(shape, number) for number in range(2)]
    keras.utils.clear_session()  # layers without a name are named as in a new process
    model = ensemble(encoders, VIEWS, power=power)
    images = rng.integers(0, 256, (4, *shape)).astype("float32")
    expected = np.zeros((4, 6))
    for view in VIEWS:
        each = [one.predict(seen(view, images), verbose=0) for one in encoders]
        each = [np.sign(x) * np.abs(x) ** power for x in each]
        lengths = [np.linalg.norm(x, axis=1, keepdims=True) for x in each]
        expected += np.hstack([x / n for x, n in zip(each, lengths, strict=True)])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-5)
    assert members(model) == encoders
    assert members(encoders[0]) == [encoders[0]]


def test_one_member_and_one_view_are_the_encoder(rng):
    alone = encoder((8, 8, 1), 0)
    images = rng.integers(0, 256, (3, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(
        ensemble([alone], AS_IS).predict(images, verbose=0),
        alone.predict(images, verbose=0),
        atol=1e-6,
    )


def test_a_saved_ensemble_is_the_same(rng, tmp_path):
    model = ensemble([encoder((8, 8, 1), 0)], VIEWS, power=0.7)
    model.save(tmp_path / "ensemble.keras")
    loaded = keras.saving.load_model(tmp_path / "ensemble.keras")
    images = rng.integers(0, 256, (3, 8, 8, 1)).astype("float32")
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )
    assert len(members(loaded)) == 1


@pytest.mark.parametrize("views", [[], [(0, 0, 0, 0)], [(0, 1, 0)]])
def test_views_that_cannot_be_drawn_are_refused(views):
    with pytest.raises(ValueError, match=r"The views are invalid\. Expected"):
        Views(views)


def test_mirrored_views_count_too(rng, tmp_path):
    shape = (6, 8, 3)
    one, images = encoder(shape, 0), rng.integers(0, 256, (4, *shape)).astype("float32")
    model = ensemble([one], AS_IS, mirror=True)
    sides = [one.predict(side, verbose=0) for side in (images, images[:, :, ::-1])]
    expected = sum(sides) / np.linalg.norm(sum(sides), axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(images, verbose=0), expected, atol=1e-5)

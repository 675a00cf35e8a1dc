"""Pictures of recipes show what their captions say."""

import numpy as np
import pytest

import zoo
from keras_metric import plots
from zoo.datasets.images import Images
from zoo.recipes import _clothing
from zoo.training.experiments import Split

pytestmark = pytest.mark.tensorflow


def test_photographs_answered_right_and_wrong_are_explained(rng, monkeypatch):
    recipe, names = zoo.get("clothing-classifier"), tuple("abcdefghij")
    pixels = rng.integers(0, 256, (30, 64, 64, 3)).astype("uint8")
    photos = Images(pixels, np.arange(30) % 10, names)
    split = Split(photos, photos, photos)
    model = recipe.build(recipe.resolve_settings({}), split)
    told = _clothing.classes(model, pixels)
    half = np.arange(30) % 2
    test = Images(pixels, np.where(half, told, (told + 1) % 10), names)
    seen = {}
    whole = plots.comparison
    monkeypatch.setattr(plots, "comparison", lambda *a, **k: seen.update(k) or whole(*a, **k))
    shown = recipe.pictures(recipe.resolve_settings({}), model, Split(photos, photos, test))
    assert list(shown) == ["maps.png"]
    wrong = ["classified as" in title for title in seen["titles"]]
    assert 0 < sum(wrong) < len(wrong)
    assert sum(wrong) == wrong.count(False)

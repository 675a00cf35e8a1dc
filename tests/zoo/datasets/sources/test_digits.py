"""scikit-learn's digits as `Images`."""

import sys

import numpy as np
import pytest

from zoo.datasets.sources import digits


def test_digits_are_the_originals_scaled():
    from sklearn.datasets import load_digits

    original = load_digits()
    images = digits.load()
    assert images.images.shape == (1797, 8, 8, 1)
    assert images.images.max() == 255
    np.testing.assert_allclose(images.images[..., 0] / 255 * 16, original.images, atol=0.04)
    np.testing.assert_array_equal(images.labels, original.target)
    assert images.names == tuple("0123456789")


def test_a_missing_scikit_learn_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r'pip install "keras-metric\[eval\]"'):
        digits.load()

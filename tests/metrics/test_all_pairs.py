"""Verification over all pairs equals the exact measures of the listed pairs, up to its bins."""

import numpy as np
import pytest

from keras_metric import metrics


def data(rng, size):
    labels = rng.integers(8, size=size)
    return (rng.normal(size=(8, 5))[labels] + rng.normal(size=(size, 5))), labels + 2**40


@pytest.mark.parametrize("block", [2**24, 700])
@pytest.mark.parametrize("size", [1, 1e-9])
def test_pairs_of_a_set(block, size, rng):
    embeddings, labels = data(rng, 60)
    first, second = np.triu_indices(60, 1)
    apart = np.linalg.norm(embeddings[first] - embeddings[second], axis=1)
    expected = metrics.verification(apart * size, (labels[first] == labels[second]).astype(int))
    found = metrics.verification_of_embeddings(embeddings * size, labels, block=block)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        unit = size if "threshold" in name else 1
        assert value / unit == pytest.approx(expected[name] / unit, abs=1e-3), name


def test_pairs_of_queries_and_gallery(rng):
    (queries, labels), (gallery, gallery_labels) = data(rng, 20), data(rng, 30)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, gallery)]
    same = (labels[:, None] == gallery_labels[None]).astype(int)
    expected = metrics.verification((1 - unit[0] @ unit[1].T).ravel(), same.ravel(), far=(0.05,))
    found = metrics.verification_of_embeddings(
        queries, labels, gallery, gallery_labels, distance="cosine", far=(0.05,), block=100
    )
    assert found == pytest.approx(expected, abs=1e-3)


def test_collapsed_embeddings_are_at_chance():
    found = metrics.verification_of_embeddings(np.zeros((6, 3)), np.repeat([0, 1], 3))
    assert found["roc_auc"] == found["eer"] == 0.5


def test_refuses_one_kind_of_pair():
    with pytest.raises(ValueError, match=r"pairs are of one kind.*Received: 6 pairs"):
        metrics.verification_of_embeddings(np.eye(3), np.zeros(3, int))

"""Clusters against classes."""

import numpy as np
import pytest

from keras_metric import metrics

pytest.importorskip("sklearn")
LABELS = np.repeat(np.arange(4), 10)


def test_separate_classes_agree_fully(rng):
    embeddings = 100 * np.eye(4)[LABELS] + rng.normal(size=(40, 4))
    assert metrics.clustering(embeddings, LABELS, restarts=3) == pytest.approx({"nmi": 1, "ami": 1})


def test_chance_has_no_adjusted_information(rng):
    embeddings = rng.normal(size=(40, 4))
    found = metrics.clustering(embeddings, rng.permutation(LABELS), clusters=12)
    assert abs(found["ami"]) < 0.15 < found["nmi"]


def test_nmi_by_counting(rng):
    """Two clusters that k-means cannot miss, each holding 10 images of two classes."""
    embeddings = np.where(LABELS < 2, -50.0, 50.0)[:, None] + rng.normal(size=(40, 1))
    found = metrics.clustering(embeddings, LABELS, clusters=2)
    assert found["nmi"] == pytest.approx(np.log(2) / ((np.log(2) + np.log(4)) / 2))


def test_refuses_more_clusters_than_embeddings():
    with pytest.raises(ValueError, match=r"Expected: from 1 to 40. Received: clusters=41"):
        metrics.clustering(np.ones((40, 2)), LABELS, clusters=41)

"""The plane of a run's projection: classes that are apart stay apart."""

import numpy as np
import pytest

from zoo.reports.embedding_pictures import plane

pytest.importorskip("sklearn")


def test_neighbours_stay_neighbours(rng):
    centers = 10 * np.eye(3, 8).repeat(10, 0)
    points = plane((centers + rng.normal(size=(30, 8))).astype("float32"))
    assert points.shape == (30, 2)
    away = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(away, np.inf)
    assert (away.argmin(1) // 10 == np.arange(30) // 10).all()


def test_collapsed_embeddings_are_one_point():
    assert not plane(np.ones((5, 8), "float32")).any()

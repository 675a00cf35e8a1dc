import numpy as np
import pytest

from keras_metric import losses


@pytest.fixture
def views(rng):
    """Two views of 9 samples in 4 dimensions."""
    return rng.normal(size=(9, 2, 4)).astype("float32")


def test_vicreg_equals_loops(views):
    u, v = views.astype("float64").transpose(1, 0, 2)
    expected = 2.0 * sum((u[i, k] - v[i, k]) ** 2 for i in range(9) for k in range(4)) / 9 / 4
    for x in (u, v):
        for k in range(4):
            expected += 3.0 * max(0, 1 - np.sqrt(np.var(x[:, k], ddof=1) + 1e-4)) / 4
            for m in range(4):
                centred = (x[:, k] - x[:, k].mean()) * (x[:, m] - x[:, m].mean())
                expected += 0.5 * (k != m) * (sum(centred) / 8) ** 2 / 4
    loss = losses.VICRegLoss(2.0, 3.0, covariance=0.5)
    np.testing.assert_allclose(float(loss(None, views)), expected, rtol=1e-5)


def test_barlow_twins_equals_loops(views):
    u, v = views.astype("float64").transpose(1, 0, 2)
    expected = 0.0
    for k in range(4):
        for m in range(4):
            correlation = np.corrcoef(u[:, k], v[:, m])[0, 1]
            expected += (1 - correlation) ** 2 if k == m else 0.1 * correlation**2
    np.testing.assert_allclose(float(losses.BarlowTwinsLoss(0.1)(None, views)), expected, rtol=1e-5)


def test_sim_siam_equals_loops(rng):
    rows = rng.normal(size=(9, 4, 5)).astype("float32")

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    expected = np.mean(
        [1 - cosine(p1, z2) / 2 - cosine(p2, z1) / 2 for p1, p2, z1, z2 in rows.astype("float64")]
    )
    np.testing.assert_allclose(float(losses.SimSiamLoss()(None, rows)), expected, rtol=1e-5)


def test_wrong_shape_is_named():
    with pytest.raises(ValueError, match=r"\(B, 2, D\)"):
        losses.VICRegLoss()(None, np.zeros((3, 4), "float32"))

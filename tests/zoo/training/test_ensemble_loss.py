"""Members that train side by side learn what each would learn alone."""

import keras
import numpy as np
import pytest

from keras_metric.losses import InfoNCELoss
from zoo.encoders.ensemble import EnsembleLoss

pytestmark = pytest.mark.every_backend


def test_it_is_the_sum_over_members(rng):
    labels = np.repeat(np.arange(3), 2)
    parts = [rng.normal(size=(6, 4)).astype("float32") for _ in range(3)]
    alone = InfoNCELoss(0.5)
    expected = sum(float(alone(labels, part)) for part in parts)
    together = EnsembleLoss(alone, 3)
    assert float(together(labels, np.concatenate(parts, 1))) == pytest.approx(expected, rel=1e-6)
    again = EnsembleLoss.from_config(together.get_config())
    assert float(again(labels, np.concatenate(parts, 1))) == pytest.approx(expected, rel=1e-6)


def test_a_width_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="a multiple of 3 members. Received: 4"):
        EnsembleLoss(InfoNCELoss(), 3)(np.zeros(2, int), keras.ops.zeros((2, 4)))

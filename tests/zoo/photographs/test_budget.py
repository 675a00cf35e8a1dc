"""A budget of training time is planned in whole epochs and kept to 10 %."""

import keras
import numpy as np
import pytest

from zoo.photographs.budget import Speed, planned
from zoo.photographs.keeping_time import Budget


@pytest.mark.parametrize("minutes", [0.05, 1, 10, 300])
@pytest.mark.parametrize("speed", [Speed(0.01, 0.1), Speed(0.5, 0.3), Speed(0.2, 0.0)])
@pytest.mark.parametrize("batches", [1, 40, 5000])
def test_the_plan_takes_the_budget(minutes, speed, batches):
    try:
        epochs, each = planned(minutes, speed, batches)
    except ValueError:
        assert 60 * minutes < speed.batch + speed.epoch
        return
    taken = epochs * (each * speed.batch + speed.epoch)
    assert taken == pytest.approx(60 * minutes, abs=epochs * speed.batch / 2 + 1e-6)
    if 60 * minutes > 100 * (speed.batch + speed.epoch):
        assert epochs >= 8
        assert taken == pytest.approx(60 * minutes, rel=0.1)


def test_too_small_a_budget_is_refused():
    with pytest.raises(ValueError, match="Expected: --minutes 0.03.*Received: 0.01"):
        planned(0.01, Speed(1.0, 1.0), 10)


class Clock(keras.callbacks.Callback):
    """Time that only batches take, 0.1 s each."""

    def __init__(self):
        super().__init__()
        self.now = 0.0

    def monotonic(self):
        return self.now

    def on_train_batch_end(self, batch, logs=None):
        self.now += 0.1


def test_a_machine_that_became_slower_ends_in_time(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("zoo.photographs.keeping_time.time", clock)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = np.zeros((8, 2)), np.zeros((8, 1))
    budget = Budget(1.2 / 60, tmp_path)
    history = model.fit(*data, epochs=100, batch_size=4, callbacks=[clock, budget], verbose=0)
    assert len(history.epoch) == 6

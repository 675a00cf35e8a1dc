"""Every argument of `compile` and `fit` does to a wrapped encoder what it does to the encoder."""

from functools import cache

import keras
import numpy as np
import pytest

from keras_metric.losses import TripletLoss
from keras_metric.memory import CrossBatchMemory, GradientCache
from keras_metric.metrics import RecallAtK

ROWS = 16
WEIGHTS = np.linspace(0.2, 2, ROWS).astype("float32")
NOT_COMPARED = 10**6  # warm-up steps: the memory fills and the loss stays that of the batch
WRAPPERS = {
    "memory": lambda encoder: CrossBatchMemory(encoder, 12, warmup_steps=NOT_COMPARED),
    "cache": lambda encoder: GradientCache(encoder, 3),
}
ARGUMENTS = {
    "a weight, of samples too": (
        {"loss_weights": 0.1, "weighted_metrics": [RecallAtK]},
        {"sample_weight": WEIGHTS},
    ),
    "a list of loss_weights": ({"loss_weights": [0.1]}, {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5}}),
    "auto_scale_loss": ({"auto_scale_loss": True, "policy": "mixed_float16"}, {}),
    "run_eagerly": ({"run_eagerly": True}, {}),
    "steps_per_execution": ({"steps_per_execution": 2}, {}),
    "jit_compile": ({"jit_compile": True}, {}),
}
OF_TENSORFLOW = ("run_eagerly", "steps_per_execution", "jit_compile")
CASES = [
    pytest.param(name, wrapper, marks=[pytest.mark.tensorflow] * (name in OF_TENSORFLOW))
    for name in ARGUMENTS
    for wrapper in WRAPPERS
    if (name, wrapper) != ("jit_compile", "cache")  # which Keras turns off, with a warning
]


def trained(wrap, compiling, fitting):
    """The history of two epochs, the weights, and the kind of optimizer."""
    compiling = dict(compiling)
    start = keras.initializers.Constant(np.random.default_rng(1).normal(size=(5, 3)))
    policy = keras.dtype_policies.get(compiling.pop("policy", "float32"))
    layer = keras.layers.Dense(3, kernel_initializer=start, dtype=policy)
    encoder = keras.Sequential([keras.Input((5,), dtype="float32"), layer])
    encoder.dtype_policy = policy
    model = wrap(encoder)
    metrics = [metric(1) for metric in compiling.pop("weighted_metrics", [])]
    loss = TripletLoss(margin=1.0, mining="semi_hard")
    model.compile(keras.optimizers.SGD(0.1), loss, weighted_metrics=metrics, **compiling)
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(ROWS, 5)).astype("float32"), rng.integers(0, 3, ROWS)
    history = model.fit(x, labels, batch_size=8, epochs=2, shuffle=False, verbose=0, **fitting)
    weights = [np.array(w) for w in encoder.get_weights()]
    return history.history, weights, type(model.optimizer).__name__


@cache
def plain(name):
    return trained(lambda encoder: encoder, *ARGUMENTS[name])


@pytest.mark.parametrize(("name", "wrapper"), CASES)
def test_wrapped_is_plain(name, wrapper):
    expected, weights, optimizer = plain(name)
    history, moved, own_optimizer = trained(WRAPPERS[wrapper], *ARGUMENTS[name])
    assert own_optimizer == optimizer
    assert set(history) == set(expected)
    precision = 1e-2 if name == "auto_scale_loss" else 1e-5  # of float16
    for shown in expected:
        np.testing.assert_allclose(history[shown], expected[shown], rtol=precision, err_msg=shown)
    for a, b in zip(moved, weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=precision, atol=precision / 10)


def test_two_weights_for_one_loss_are_refused():
    with pytest.raises(ValueError, match="loss_weights"):
        trained(WRAPPERS["memory"], {"loss_weights": [0.1, 0.2]}, {})

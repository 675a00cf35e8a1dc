"""What every loss promises: a new one is tested as soon as it stands in `losses.__all__`."""

import inspect
import json
from functools import cache, lru_cache

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric import losses
from keras_metric.losses import PairLoss

CLASSES = {name: getattr(losses, name) for name in losses.__all__}
LABELLED = sorted(name for name, cls in CLASSES.items() if issubclass(cls, PairLoss))
MARGINS = sorted(
    name for name, cls in CLASSES.items() if "margin" in inspect.signature(cls).parameters
)
FIXED_DISTANCE = {"AngularLoss"}
FEW_BINS = {"FastAPLoss": {"bins": 3}, "HistogramLoss": {"bins": 3}}  # quicker to compile
BRANCHING = losses.TripletLoss  # torch ends a graph where data decide what follows
BACKEND = keras.backend.backend()
# What the base does for all losses alike is tested on TensorFlow with every loss, elsewhere with
# one of each way to its values: few positives, beyond the row, whole rows, chosen pairs.
OF_EACH_WAY = ["InfoNCELoss", "LiftedStructureLoss", "MarginLoss", "TripletLoss"]
NAMES, BASE_NAMES, GIVEN = sorted(CLASSES), LABELLED, sorted(CLASSES.keys() - LABELLED)
if BACKEND != "tensorflow":
    BASE_NAMES = OF_EACH_WAY
ODD_SHAPES = ("no sample", "one sample")
DEGENERATE = {
    "no positive": lambda x: (np.arange(len(x)), x),
    "no negative": lambda x: (np.zeros(len(x), int), x),
    "no sample": lambda x: (np.zeros(0, int), x[:0]),
    "one sample": lambda x: (np.zeros(1, int), x[:1]),
    "all equal": lambda x: (np.arange(len(x)) % 3, np.tile(x[:1], (len(x), 1))),
    "zero vectors": lambda x: (np.arange(len(x)) % 3, np.zeros_like(x)),
    "some zero": lambda x: (np.arange(len(x)) % 3, x * (np.arange(len(x)) % 2)[:, None]),
    "huge norms": lambda x: (np.arange(len(x)) % 3, x * np.float32(1e12)),
    "tiny norms": lambda x: (np.arange(len(x)) % 3, x * np.float32(1e-12)),
}


def given(name, x):
    """What a loss takes that is not given labels and embeddings: (y_true, y_pred) from x (B, D)."""
    away = np.linalg.norm(x.astype("float64"), axis=1).astype("float32")
    views = 4 if name == "SimSiamLoss" else 2
    return {
        "ContrastiveLoss": (np.arange(len(x)) % 2, away),
        "TripletMarginLoss": (np.zeros(len(x), int), np.stack([away, away[::-1]], 1)),
    }.get(name, (np.zeros(len(x), int), np.stack([x, *[x[:, ::-1]] * (views - 1)], 1)))


def batch(name, labels, x):
    return (labels, x) if name in LABELLED else given(name, x)


def plain(seed=0, count=12):
    rng = np.random.default_rng(seed)
    return np.arange(count) % 3, rng.normal(size=(count, 6)).astype("float32")


def gradient(loss, labels, x, jit=False):
    """Value and gradient with respect to `x`, by the backend at hand."""
    return {"tensorflow": of_tensorflow, "jax": of_jax, "torch": of_torch}[BACKEND](
        loss, labels, x, jit
    )


def as_in_fit(loss, labels, x):
    """`gradient` as the backend's `fit` comes by it at the least cost: compiled on JAX."""
    return gradient(loss, labels, x, jit=BACKEND == "jax")


@cache
def default(name):
    """The loss of a name, one object for all tests: JAX compiles it once."""
    return CLASSES[name](**FEW_BINS.get(name, {}))


def of_tensorflow(loss, labels, x, jit):
    """With `jit` in a graph, and by XLA for one loss of each way: all of them are in test_xla."""
    import tensorflow as tf

    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(labels, x)
        return value, tape.gradient(value, x)

    with_xla = type(loss).__name__ in OF_EACH_WAY
    both = tf.function(both, jit_compile=with_xla) if jit else both
    value, slope = both(tf.constant(x))
    return float(value), np.asarray(tf.cast(slope, "float32"))


def of_jax(loss, labels, x, jit):
    import jax

    both = compiled_by_jax(loss) if jit else jax.value_and_grad(loss_of(loss))
    value, slope = both(jax.numpy.asarray(x), labels)
    return float(value), np.asarray(slope, "float32")


@lru_cache(maxsize=100)
def compiled_by_jax(loss):
    """One compiled function for all batches of a shape, as `fit` has it."""
    import jax

    return jax.jit(jax.value_and_grad(loss_of(loss)))


def loss_of(loss):
    return lambda x, labels: loss(labels, x)


def of_torch(loss, labels, x, jit):
    import torch

    x = x.clone() if torch.is_tensor(x) else ops.convert_to_tensor(x)
    x.requires_grad_()
    if jit:
        torch.compiler.reset()
        whole = not isinstance(loss, BRANCHING)
        loss = torch.compile(loss, backend="aot_eager", fullgraph=whole)
        labels = ops.convert_to_tensor(labels)
    value = loss(labels, x)
    value.backward()
    return float(value.detach()), ops.convert_to_numpy(x.grad.to(torch.float32))


def changed(cls):
    """The loss with every number among its arguments away from its default."""
    config = cls().get_config()
    numbers = {k: v for k, v in config.items() if type(v) in (int, float)}
    words = {"distance": "manhattan"} if "distance" in config else {}
    if cls.__name__ in FIXED_DISTANCE:
        words = {}
    return cls(**{k: type(v)(v * 0.7) for k, v in numbers.items()}, **words, name="changed")


def traced_by_jax(loss, labels, x):
    """Without a computation: that there are values and gradients of this shape."""
    import jax

    jax.eval_shape(jax.value_and_grad(loss_of(loss)), x, labels)


@pytest.mark.parametrize("name", NAMES)
def test_finite_on_every_degenerate_batch(name):
    loss = default(name)
    for case, make in DEGENERATE.items():
        of_case = batch(name, *make(plain()[1]))
        if BACKEND == "jax" and case in ODD_SHAPES and name not in OF_EACH_WAY:
            traced_by_jax(loss, *of_case)
            continue
        value, slope = as_in_fit(loss, *of_case)
        assert np.isfinite(value), case
        assert np.isfinite(slope).all(), case
        assert value == 0 or case != "no sample"


@pytest.mark.parametrize("name", MARGINS)
def test_margin_zero_is_finite_and_a_margin_is_respected(name):
    labels, x = plain()
    labels, x = batch(name, labels, x / 4)  # near enough for the margins to matter
    values = []
    margins = (0.0, 0.5) if BACKEND == "jax" else (0.0, 0.5, 1.5)
    for margin in margins:
        value, slope = as_in_fit(CLASSES[name](margin=margin), labels, x)
        assert np.isfinite(slope).all()
        values.append(value)
    assert len(set(values)) == len(margins)


@pytest.mark.parametrize("name", NAMES)
def test_order_of_the_batch_does_not_matter(name, rng):
    loss, (labels, x) = default(name), batch(name, *plain())
    order = rng.permutation(len(x))
    value, slope = as_in_fit(loss, labels, x)
    again, moved = as_in_fit(loss, labels[order], x[order])
    np.testing.assert_allclose(again, value, rtol=1e-5)
    np.testing.assert_allclose(moved, slope[order], rtol=1e-3, atol=1e-5 * abs(slope).max())


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", NAMES)
def test_comes_back_by_value(name):
    labels, x = batch(name, *plain())
    loss = changed(CLASSES[name])
    saved = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(saved)
    assert again.name == "changed"
    assert float(again(labels, x)) == float(loss(labels, x))
    if len(loss.get_config()) > 4 + 4 * (name in LABELLED):
        assert float(loss(labels, x)) != float(CLASSES[name]()(labels, x))


@pytest.mark.parametrize("name", BASE_NAMES)
@pytest.mark.parametrize(
    "first", [2**62, *(pytest.param(2**bits, marks=pytest.mark.slow) for bits in (24, 40))]
)
def test_labels_are_exact(name, first):
    """Labels above 2**62 are equal in float32 and float64, their multiples of 2**60 in int32."""
    labels, x = plain()
    expected = float(CLASSES[name]()(labels, x))
    assert float(CLASSES[name]()(labels + first, x)) == expected
    assert float(CLASSES[name]()(labels[:, None] * (first // 4) + 5, x)) == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"][BACKEND == "jax" :])
def test_half_precision_gives_the_loss_in_float32(name, dtype):
    """As Keras's own losses do: in half precision a large loss is infinite, a small one rounded."""
    labels, x = batch(name, *plain())
    loss, half = default(name), ops.cast(x, dtype)
    value, slope = as_in_fit(loss, labels, half)
    assert np.isfinite(slope).all()
    whole = ops.convert_to_numpy(ops.cast(half, "float32"))
    assert value == pytest.approx(as_in_fit(loss, labels, whole)[0], rel=1e-6)
    if BACKEND != "jax":  # where a loss outside of a compiled step takes seconds
        assert keras.backend.standardize_dtype(loss(labels, half).dtype) == "float32"


@pytest.mark.filterwarnings("ignore:Dynamo detected a call:UserWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("name", NAMES)
def test_compiled_equals_eager(name):
    labels, x = batch(name, *plain())
    loss = default(name)
    compiled, compiled_slope = gradient(loss, labels, x, jit=True)
    if BACKEND == "jax" and name not in OF_EACH_WAY:
        np.testing.assert_allclose(compiled, float(loss(labels, x)), rtol=1e-4)
        return
    value, slope = gradient(loss, labels, x)
    np.testing.assert_allclose(compiled, value, rtol=1e-4)
    np.testing.assert_allclose(compiled_slope, slope, rtol=1e-2, atol=1e-4 * abs(slope).max())


@pytest.mark.parametrize("name", BASE_NAMES)
def test_row_blocks_change_nothing(name):
    labels, x = plain()
    value, slope = as_in_fit(default(name), labels, x)
    options = {"rows_per_block": 5, **FEW_BINS.get(name, {})}
    blocked, blocked_slope = as_in_fit(CLASSES[name](**options), labels, x)
    np.testing.assert_allclose(blocked, value, rtol=1e-5)
    np.testing.assert_allclose(blocked_slope, slope, rtol=1e-4, atol=1e-5 * abs(slope).max())


@pytest.mark.parametrize("name", [*BASE_NAMES, *GIVEN])
def test_reductions_and_sample_weights(name, rng):
    labels, x = batch(name, *plain())
    weights = rng.uniform(size=len(x)).astype("float32")
    each = CLASSES[name](reduction=None)
    values = np.array([float(value) for value in each(labels, x, weights)])
    plain_values = np.array([float(value) for value in each(labels, x)])
    assert values.shape == (len(x),)
    np.testing.assert_allclose(values, plain_values * weights, rtol=1e-5)
    total = float(CLASSES[name](reduction="sum")(labels, x, weights))
    np.testing.assert_allclose(total, values.sum(), rtol=1e-5)
    mean = float(CLASSES[name]()(labels, x, weights[:, None]))
    np.testing.assert_allclose(mean, values.mean(), rtol=1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", NAMES)
def test_a_loss_is_final_and_owns_no_weights(name):
    cls = CLASSES[name]
    assert cls.__bases__[0].__name__ in ("PairLoss", "SampleLoss", "BatchLoss")
    assert not any(isinstance(value, keras.Variable) for value in vars(cls()).values())


@pytest.mark.parametrize("name", NAMES)
def test_learning_lowers_it(name):
    labels, x = batch(name, *plain())
    loss = default(name)
    value, slope = as_in_fit(loss, labels, x)
    step = 1e-2 / (np.linalg.norm(slope) + 1e-12)
    assert as_in_fit(loss, labels, x - step * slope)[0] < value

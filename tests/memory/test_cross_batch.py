"""CrossBatchMemory: what the loss sees, what is remembered, when, and in which file."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric import losses
from keras_metric.losses import PairLoss, TripletLoss
from keras_metric.memory import CrossBatchMemory, GradientCache
from keras_metric.miners import Angular

# Keras 3.15 converts TensorFlow variables in a way that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BIG = 2**31 - 9
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
# the ways from pairs to values: few positives, what lies beyond the row, whole rows, chosen pairs
OF_EACH_WAY = ["InfoNCELoss", "LiftedStructureLoss", "MarginLoss", "TripletLoss"]
PAIR_LOSSES = [name for name in losses.__all__ if issubclass(getattr(losses, name), PairLoss)]


def encoder():
    start = keras.initializers.GlorotUniform(seed=1)
    return keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(3, activation="tanh", kernel_initializer=start)]
    )


def batches(rng, count, rows=4):
    for _ in range(count):
        x = rng.normal(size=(rows, 5)).astype("float32")
        yield x, (BIG + rng.integers(0, 3, rows)).astype("int64")


def compiled(model, mining="hard", rate=0.3, **options):
    model.compile(keras.optimizers.SGD(rate), TripletLoss(margin=1.0, mining=mining, **options))
    return model


def fit(model, x, labels):
    return model.fit(x, labels, batch_size=len(x), shuffle=False, verbose=0).history["loss"][0]


def remembered(model):
    filled = int(model.filled.numpy()) if hasattr(model.filled, "numpy") else int(model.filled)
    embeddings, labels = (keras.ops.convert_to_numpy(v) for v in (model.embeddings, model.labels))
    if labels.ndim == 3:  # the two words of a backend without 64-bit integers
        low, high = labels[:, 0].astype("int64").T
        labels = (high << 32) + (low & 0xFFFFFFFF)
    return embeddings[model.size - filled :], labels[model.size - filled :]


def test_memory_is_the_last_rows_and_the_loss_sees_them(rng):
    model = compiled(CrossBatchMemory(encoder(), 10))
    reference = TripletLoss(margin=1.0, mining="hard")
    seen_x, seen_labels = np.zeros((0, 3), "float32"), np.zeros(0, "int64")
    for x, labels in batches(rng, 5):
        embedded = model.encoder.predict(x, verbose=0)
        expected = reference.loss_against(
            labels,
            embedded,
            np.concatenate([labels, seen_labels]),
            np.concatenate([embedded, seen_x]),
            0,
        )
        assert fit(model, x, labels) == pytest.approx(float(expected), rel=1e-5)
        seen_x = np.concatenate([seen_x, embedded])[-10:]
        seen_labels = np.concatenate([seen_labels, labels])[-10:]
        embeddings, stored = remembered(model)
        np.testing.assert_allclose(embeddings, seen_x, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(stored, seen_labels)
    assert len(stored) == 10


@pytest.mark.diagonal
@pytest.mark.parametrize("options", [{}, {"rows_per_block": 2}, {"miner": Angular(5.0)}])
@pytest.mark.parametrize("mining", ["semi_hard", "all"])
def test_gradient_reaches_the_batch_and_not_the_memory(mining, options, rng):
    """A first batch fills the memory; the second one's step equals a step on constants."""
    first, second = batches(rng, 2)
    model = compiled(CrossBatchMemory(encoder(), 4), mining, **options)
    fit(model, *first)
    constants, constant_labels = remembered(model)

    class Against(keras.Loss):
        def __call__(self, labels, embeddings, sample_weight=None):
            loss = TripletLoss(margin=1.0, mining=mining, miner=options.get("miner"))
            ops = keras.ops
            return loss.loss_against(
                labels,
                embeddings,
                ops.concatenate([labels, ops.cast(constant_labels, labels.dtype)]),
                ops.concatenate([embeddings, constants]),
                0,
            )

    plain = encoder()
    plain.set_weights(model.encoder.get_weights())
    plain.compile(keras.optimizers.SGD(0.3), Against())
    before = plain.get_weights()[0]
    fit(plain, *second)
    fit(model, *second)
    assert np.abs(plain.get_weights()[0] - before).max() > 1e-3
    for a, b in zip(model.encoder.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_first_step_is_that_of_the_loss_alone(rng):
    ((x, labels),) = batches(rng, 1, rows=9)
    plain, model = encoder(), compiled(CrossBatchMemory(encoder(), 6))  # a batch larger than it
    plain.set_weights(model.encoder.get_weights())
    compiled(plain)
    assert fit(model, x, labels) == pytest.approx(fit(plain, x, labels), rel=1e-6)
    for a, b in zip(model.encoder.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(remembered(model)[1], labels[-6:])


@pytest.mark.parametrize("name", PAIR_LOSSES if ON_TENSORFLOW else OF_EACH_WAY)
def test_empty_places_are_invisible_to_every_loss(name, rng):
    """Rows that the memory does not hold yet change nothing, whatever stands there."""
    loss = getattr(losses, name)()
    filled, batch = np.arange(14) < 9, slice(0, 6)
    labels = rng.integers(0, 3, 14)
    embeddings = rng.normal(size=(14, 4)).astype("float32")
    blind = loss.among(keras.ops.convert_to_tensor(filled))
    seen = blind.loss_against(labels[batch], embeddings[batch], labels, embeddings, 0)
    expected = loss.loss_against(
        labels[batch], embeddings[batch], labels[filled], embeddings[filled], 0
    )
    everything = loss.loss_against(labels[batch], embeddings[batch], labels, embeddings, 0)
    assert float(seen) == pytest.approx(float(expected), rel=1e-5)
    assert float(seen) != pytest.approx(float(everything), rel=1e-5)


def test_memory_waits_for_the_warm_up(rng):
    steps = list(batches(rng, 3))
    waiting = compiled(CrossBatchMemory(encoder(), 8, warmup_steps=2), rate=0.0)
    plain = compiled(encoder(), rate=0.0)
    plain.set_weights(waiting.encoder.get_weights())
    ratios = [fit(waiting, *step) / fit(plain, *step) for step in steps]
    np.testing.assert_allclose(ratios[:2], 1, rtol=1e-6)
    assert ratios[2] > 1.001  # hard triplets of more candidates violate more


def in_half_precision():
    """Embeddings are the sum of five coordinates, in float16."""
    layer = keras.layers.Dense(3, kernel_initializer="ones", dtype="mixed_float16")
    model = CrossBatchMemory(keras.Sequential([keras.Input((5,)), layer]), 16)
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    model.compile(scaled, TripletLoss(margin=1.0, mining="all"))
    return model


def test_an_overflow_in_float16_costs_one_step(rng):
    model, steps = in_half_precision(), list(batches(rng, 6))
    steps[1][0][2] = 6e4  # the embedding of one sample is infinite
    moved, shown = [], []
    for x, labels in steps:
        before = np.copy(model.encoder.get_weights()[0])
        shown.append(fit(model, x, labels))
        moved.append(bool((model.encoder.get_weights()[0] != before).any()))
    assert np.isfinite(shown).tolist() == moved == [True, False, True, True, True, True]
    scale = ops.convert_to_numpy(model.optimizer.dynamic_scale)
    assert scale == model.optimizer.initial_scale / 2
    embeddings, stored = remembered(model)
    assert np.isfinite(embeddings).all()
    labels = np.concatenate([labels for _, labels in steps])
    np.testing.assert_array_equal(stored, np.delete(labels, 6)[-16:])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e19])
def test_rows_that_no_distance_can_be_computed_of_are_left_out(value, rng):
    """The rows before them stay instead, in their order."""
    model = compiled(CrossBatchMemory(encoder(), 6), rate=0.0)
    steps = list(batches(rng, 3))
    for x, labels in steps[:2]:
        fit(model, x, labels)
    rows = np.array([[1, 2, 3], [value, 0, 0], [4, 5, 6], [0, value, 0]], "float32")
    kept = remembered(model)
    label = kept[1][:1]
    store = ops.reshape(model.labels.value[:1], (1, *model.labels.shape[1:]))
    model._remember(ops.concatenate([store] * 4), ops.convert_to_tensor(rows))
    embeddings, stored = remembered(model)
    np.testing.assert_allclose(embeddings, np.concatenate([kept[0][2:], rows[::2]]))
    np.testing.assert_array_equal(stored, np.concatenate([kept[1][2:], label, label]))


def test_a_memory_saved_with_rows_that_are_not_finite_recovers(rng):
    model, steps = compiled(CrossBatchMemory(encoder(), 6)), list(batches(rng, 3))
    fit(model, *steps[0])
    model.embeddings.assign(ops.full((6, 3), float("nan")))
    weights = model.encoder.get_weights()
    assert np.isnan(fit(model, *steps[1]))
    model.encoder.set_weights(weights)
    assert np.isfinite(fit(model, *steps[2]))
    assert len(remembered(model)[1]) == 6


def test_evaluate_and_predict_leave_it_alone(rng):
    first, second = batches(rng, 2)
    model = compiled(CrossBatchMemory(encoder(), 6))
    fit(model, *first)
    before = [np.copy(w) for w in model.get_weights()]
    plain = compiled(encoder())
    plain.set_weights(model.encoder.get_weights())
    alone = plain.evaluate(*second, verbose=0)
    assert model.evaluate(*second, verbose=0) == pytest.approx(alone, rel=1e-6)
    model.predict(second[0], verbose=0)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_is_saved_with_the_model(rng, tmp_path):
    first, second = batches(rng, 2)
    model = compiled(CrossBatchMemory(encoder(), 6, warmup_steps=1, name="remembering"))
    fit(model, *first)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert (again.size, again.warmup_steps, again.name) == (6, 1, "remembering")
    for a, b in zip(remembered(again), remembered(model), strict=True):
        np.testing.assert_array_equal(a, b)
    assert fit(again, *second) == pytest.approx(fit(model, *second), rel=1e-6)


def test_weight_decay_and_sample_weights_count(rng):
    ((x, labels),) = batches(rng, 1, rows=8)
    decayed = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.1))]
    )
    plain = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(decayed))
    plain.set_weights(decayed.get_weights())
    model = compiled(CrossBatchMemory(decayed, 8))
    compiled(plain)
    weights = rng.uniform(size=8).astype("float32")
    histories = [
        m.fit(x, labels, sample_weight=weights, batch_size=8, shuffle=False, verbose=0)
        for m in (model, plain)
    ]
    ours, theirs = (history.history["loss"][0] for history in histories)
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_goes_with_a_gradient_cache(rng):
    steps = list(batches(rng, 2, rows=7))
    models = [encoder(), GradientCache(encoder(), 3)]
    models = [compiled(CrossBatchMemory(inner, 10)) for inner in models]
    models[1].set_weights(models[0].get_weights())
    for step in steps:
        first, second = (fit(model, *step) for model in models)
        assert first == pytest.approx(second, rel=1e-5)


def test_refuses_what_it_cannot_use(rng):
    with pytest.raises(ValueError, match="integer from 1 on. Received: size=0"):
        CrossBatchMemory(encoder(), 0)
    with pytest.raises(ValueError, match="from 0 on. Received: warmup_steps=-1"):
        CrossBatchMemory(encoder(), 4, warmup_steps=-1)
    model = CrossBatchMemory(encoder(), 4)
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="PairLoss.*Received: 'mse'"):
        fit(model, *next(batches(rng, 1)))


@keras.saving.register_keras_serializable(package="tests")
class Ones(PairLoss):
    """1 wherever an anchor has any pair."""

    needs = "any"

    def values(self, pairs):
        return ops.ones_like(pairs.distances[:, 0])


@pytest.mark.parametrize("hidden", [True, False])
def test_what_the_memory_hides_is_no_pair(hidden, rng):
    rows = rng.normal(size=(5, 3)).astype("float32")
    labels = np.arange(5)
    valid = ops.convert_to_tensor([True] + 4 * [not hidden])
    loss = Ones().among(valid)
    assert float(loss.loss_against(labels[:1], rows[:1], labels, rows, 0)) == (not hidden)

"""PartialFC: which classes a step compares with, and that its step is the head's on these."""

from math import acos, cos, exp, log, pi, sin

import keras
import numpy as np
import pytest

from keras_metric import heads
from keras_metric.memory import GradientCache, PartialFC

CLASSES, ROWS, RATE = 40, 6, 0.5


def encoder():
    start = keras.initializers.GlorotUniform(seed=1)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer=start)])


def head_of(kind=heads.ArcFace, classes=CLASSES, **options):
    start = keras.initializers.RandomNormal(seed=2)
    return kind(classes, scale=5.0, initializer=start, **options)


def compiled(model, head, **options):
    model.compile(keras.optimizers.SGD(RATE), head.loss(), **options)
    return model


def partial(classes_per_step=12, *, seed=0, head=None, metrics=None):
    head = head or head_of()
    model = PartialFC(encoder(), head, classes_per_step, seed=seed, name="partial")
    return compiled(model, head, metrics=metrics)


def data(rng, classes=CLASSES, rows=ROWS):
    return rng.normal(size=(rows, 4)).astype("float32"), rng.integers(0, classes, rows)


def fit(model, x, labels, **options):
    options = {"batch_size": len(x), "shuffle": False, "verbose": 0, **options}
    return model.fit(x, labels, **options).history["loss"]


def rows(model):
    """The class weights, one row a class."""
    return np.array(model.head.get_weights()[0]).reshape(model.head.classes, -1)


def moved_by_a_step(model, x, labels):
    """The loss, the classes whose weights it changed, and the weights before and after."""
    before = rows(model)
    (loss,) = fit(model, x, labels)
    after = rows(model)
    return loss, np.flatnonzero((before != after).any(axis=1)), before, after


def arc_face(x, labels, weights, margin=0.5, scale=5.0):
    """Plain loops in float64: embeddings (B, D), and weights {class: (D,)} of the sample."""
    total = 0.0
    for row, y in zip(x, labels, strict=True):
        c = {k: row @ w / np.sqrt((row @ row) * (w @ w)) for k, w in weights.items()}
        angle = acos(c[y]) + margin
        c[y] = cos(angle) if angle < pi else c[y] - margin * sin(margin)
        total += log(sum(exp(scale * value) for value in c.values())) - scale * c[y]
    return total / len(x)


def test_a_step_is_arc_face_on_the_sampled_classes(rng):
    """Loss and step, by loops and differences in float64; the other classes stay as they are."""
    model, (x, labels) = partial(), data(rng)
    embedded = model.encoder.predict(x, verbose=0).astype("float64")
    loss, sampled, before, after = moved_by_a_step(model, x, labels)
    assert len(sampled) == 12
    assert set(labels) <= set(sampled)
    start = before.astype("float64")

    def value(weights):
        return arc_face(embedded, labels, {k: weights[k] for k in sampled})

    assert loss == pytest.approx(value(start), rel=1e-5)
    slope = np.zeros(start.shape)
    for at in np.ndindex(*start.shape):
        step = np.zeros(start.shape)
        step[at] = 1e-6
        slope[at] = (value(start + step) - value(start - step)) / 2e-6
    np.testing.assert_allclose(after - start, -RATE * slope, rtol=1e-3, atol=1e-5)


def test_each_step_draws_others_by_the_seed(rng):
    steps = [data(rng) for _ in range(3)]
    drawn = {}
    for seed in (0, 0, 1):
        model = partial(seed=seed)
        classes = [set(moved_by_a_step(model, x, y)[1].tolist()) for x, y in steps]
        assert drawn.setdefault(seed, classes) == classes
        own = [set(y.tolist()) for _, y in steps]
        assert classes[0] - own[0] != classes[1] - own[1]
    assert drawn[0] != drawn[1]


@pytest.mark.tensorflow
def test_others_are_drawn_evenly(rng):
    model = partial(10)
    counts = np.zeros(CLASSES)
    x = rng.normal(size=(2, 4)).astype("float32")
    for _ in range(60):
        counts[moved_by_a_step(model, x, np.array([0, 1]))[1]] += 1
    assert counts[0] == counts[1] == 60
    assert abs(counts[2:].mean() - 60 * 8 / 38) < 1e-9
    assert counts[2:].min() >= 3
    assert counts[2:].max() <= 25


def test_a_saved_model_goes_on_with_the_draws_to_come(rng, tmp_path):
    steps = [data(rng) for _ in range(3)]
    model = partial(seed=7)
    fit(model, *steps[0])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert (again.classes_per_step, again.seed, again.name) == (12, 7, "partial")
    for step in steps[1:]:
        assert fit(again, *step) == pytest.approx(fit(model, *step), rel=1e-6)
    np.testing.assert_allclose(rows(again), rows(model), rtol=1e-6)
    np.testing.assert_allclose(
        again.predict(steps[0][0], verbose=0), model.predict(steps[0][0], verbose=0), rtol=1e-5
    )


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", [heads.ArcFace, heads.SoftTriple, heads.ProxyAnchor])
@pytest.mark.parametrize("classes_per_step", [CLASSES, 10**6])
def test_of_all_classes_it_is_the_head_itself(kind, classes_per_step, rng):
    x, labels = data(rng, rows=8)
    model = partial(classes_per_step, head=head_of(kind))
    head = head_of(kind)
    plain = compiled(keras.Sequential([encoder(), head]), head)
    losses = [fit(m, x, labels, batch_size=4, epochs=2) for m in (model, plain)]
    np.testing.assert_allclose(*losses, rtol=1e-6)
    np.testing.assert_allclose(rows(model).ravel(), head.get_weights()[0].ravel(), rtol=1e-6)


@pytest.mark.tensorflow
def test_a_sample_of_every_class_but_one_is_near_the_whole(rng):
    """By construction: the loss of the sample is below that of all classes, by one term."""
    x, labels = data(rng)
    whole, most = partial(CLASSES), partial(CLASSES - 1)
    (of_all,), (of_most,) = fit(whole, x, labels), fit(most, x, labels)
    assert of_most < of_all == pytest.approx(of_most, rel=0.05)


def test_more_classes_in_the_batch_than_asked_for_are_all_sampled(rng):
    x, labels = rng.normal(size=(9, 4)).astype("float32"), np.arange(9)
    sampled = moved_by_a_step(partial(2), x, labels)[1]
    np.testing.assert_array_equal(sampled, labels)
    every = np.arange(CLASSES)
    x = rng.normal(size=(CLASSES, 4)).astype("float32")
    np.testing.assert_array_equal(moved_by_a_step(partial(2), x, every)[1], every)


def test_one_class(rng):
    x, labels = data(rng, classes=1)
    model = partial(1, head=head_of(classes=1))
    assert fit(model, x, labels) == [0]
    assert np.isfinite(rows(model)).all()


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", heads.__all__)
def test_every_head_learns_from_samples(name, rng):
    labels = np.arange(30) % 3
    x = (np.eye(4)[labels] + 0.1 * rng.normal(size=(30, 4))).astype("float32")
    head = getattr(heads, name)(9, scale=4.0, initializer=keras.initializers.RandomNormal(seed=1))
    model = PartialFC(encoder(), head, 6)
    model.compile(keras.optimizers.Adam(0.05), head.loss())
    history = fit(model, x, labels, batch_size=12, epochs=8)
    assert np.isfinite(history).all()
    assert history[-1] < history[0]


def test_metrics_are_those_of_evaluation(rng):
    x, labels = data(rng, rows=12)
    model = partial(head=head_of(margin=0.1), metrics=["sparse_categorical_accuracy"])
    history = model.fit(x, labels, batch_size=5, epochs=2, validation_data=(x, labels), verbose=0)
    shown = history.history
    assert set(shown) == {"loss", "val_loss", "val_sparse_categorical_accuracy"}
    logits = model.predict(x, verbose=0)
    assert logits.shape == (12, CLASSES)
    right = np.mean(logits.argmax(axis=1) == labels)
    assert shown["val_sparse_categorical_accuracy"][-1] == pytest.approx(right)
    evaluated = model.evaluate(x, labels, verbose=0, return_dict=True)
    assert evaluated["loss"] == pytest.approx(shown["val_loss"][-1], rel=1e-6)


@pytest.mark.tensorflow
def test_weights_of_samples_and_of_the_loss_count(rng):
    x, labels = data(rng)
    weights = rng.uniform(size=ROWS).astype("float32")
    values = []
    for row in range(ROWS):  # each sample alone, on the classes that the whole batch samples
        only = np.eye(ROWS, dtype="float32")[row]
        values += fit(partial(), x, labels, sample_weight=only)
    model = PartialFC(encoder(), head := head_of(), 12)
    compiled(model, head, loss_weights=0.5)
    (weighted,) = fit(model, x, labels, sample_weight=weights)
    assert weighted == pytest.approx(0.5 * float(weights @ values), rel=1e-5)


@pytest.mark.tensorflow
def test_a_label_outside_of_the_classes_is_nan(rng):
    x, labels = data(rng)
    for wrong in (-1, CLASSES, 2**31 - 1):
        assert np.isnan(fit(partial(), x, np.where(labels == labels[0], wrong, labels)))


@pytest.mark.tensorflow
def test_goes_with_a_gradient_cache(rng):
    x, labels = data(rng)
    head = head_of()
    cached = compiled(PartialFC(GradientCache(encoder(), 4), head, 12), head)
    assert fit(cached, x, labels) == pytest.approx(fit(partial(), x, labels), rel=1e-5)


@pytest.mark.tensorflow
def test_trains_under_xla(rng):
    """Unknown and changing batch sizes. XLA draws other numbers from the same seed."""
    x, labels = data(rng, rows=10)
    head = head_of()
    model = compiled(PartialFC(encoder(), head, 12), head, jit_compile=True)
    history = fit(model, x, labels, batch_size=4, epochs=5)
    assert np.isfinite(history).all()
    assert history[-1] < history[0]


def test_refuses_what_it_cannot_use():
    with pytest.raises(TypeError, match="Expected: a head of keras_metric.heads"):
        PartialFC(encoder(), keras.layers.Dense(5), 2)
    with pytest.raises(ValueError, match="Received: classes_per_step=0"):
        PartialFC(encoder(), head_of(), 0)
    with pytest.raises(ValueError, match="Received: seed=-1"):
        PartialFC(encoder(), head_of(), 3, seed=-1)

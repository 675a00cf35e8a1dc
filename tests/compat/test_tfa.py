"""compat.tfa: signatures, errors, degenerate batches, precision, saving and `fit`."""

import inspect
import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric.compat import tfa

METRIC_LOSSES = ("TripletSemiHardLoss", "TripletHardLoss", "LiftedStructLoss")
SIGNATURES = {
    "ContrastiveLoss": "margin=1.0, reduction=sum_over_batch_size, name=contrastive_loss",
    "TripletSemiHardLoss": "margin=1.0, distance_metric=L2, name=None",
    "TripletHardLoss": "margin=1.0, soft=False, distance_metric=L2, name=None",
    "LiftedStructLoss": "margin=1.0, name=None",
    "NpairsLoss": "name=npairs_loss",
    "NpairsMultilabelLoss": "name=npairs_multilabel_loss",
    "contrastive_loss": "y_true, y_pred, margin=1.0",
    "triplet_semihard_loss": "y_true, y_pred, margin=1.0, distance_metric=L2",
    "triplet_hard_loss": "y_true, y_pred, margin=1.0, soft=False, distance_metric=L2",
    "lifted_struct_loss": "labels, embeddings, margin=1.0",
    "npairs_loss": "y_true, y_pred",
    "npairs_multilabel_loss": "y_true, y_pred",
}


@pytest.fixture
def batch(rng):
    points = rng.normal(size=(12, 8)).astype("float32")
    return np.arange(12) // 3, points / np.linalg.norm(points, axis=1, keepdims=True)


@keras.saving.register_keras_serializable(package="test_tfa")
def city_block(x):
    return ops.sum(ops.abs(x[:, None] - x[None]), axis=-1)


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name):
    parameters = inspect.signature(getattr(tfa, name)).parameters.values()
    found = [p.name if p.default is p.empty else f"{p.name}={p.default}" for p in parameters]
    assert ", ".join(found) == SIGNATURES[name]
    assert getattr(tfa.losses, name) is getattr(tfa, name)


@pytest.mark.parametrize("name", [name for name in SIGNATURES if name[0].isupper()])
def test_unknown_keyword_is_an_error(name):
    with pytest.raises(TypeError, match="marign"):
        getattr(tfa, name)(marign=3.0)


@pytest.mark.parametrize("name", METRIC_LOSSES)
@pytest.mark.parametrize("kind", ["no positive", "no negative", "one sample", "equal", "zero"])
def test_degenerate_batch_is_finite(name, kind, batch):
    labels, points = batch
    labels, points = {
        "no positive": (np.arange(12), points),
        "no negative": (np.zeros(12, int), points),
        "one sample": (labels[:1], points[:1]),
        "equal": (labels, np.ones_like(points)),
        "zero": (labels, np.zeros_like(points)),
    }[kind]
    value, gradient = value_and_gradient(getattr(tfa, name)(), labels, points)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    if name != "TripletHardLoss" and kind in ("no positive", "one sample"):
        assert value == 0


def test_soft_margin_does_not_overflow(batch):
    labels, points = batch
    loss = tfa.TripletHardLoss(soft=True)
    value, gradient = value_and_gradient(loss, labels, 200 * points)
    assert 10 < value < 400
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", [*METRIC_LOSSES, "NpairsLoss"])
def test_labels_beyond_a_float_stay_apart(name, batch):
    labels, points = batch
    predictions = points @ points.T if name == "NpairsLoss" else points
    loss = getattr(tfa, name)()
    for large in (labels + 2**24, labels.astype("int64") + 2**40, labels[:, None]):
        assert float(loss(large, predictions)) == pytest.approx(
            float(loss(labels, predictions)), rel=1e-6
        )


@pytest.mark.parametrize("name", METRIC_LOSSES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_returns_the_precision_of_the_embeddings(name, dtype, batch):
    labels, points = batch
    loss = getattr(tfa, name)()(labels, ops.cast(points, dtype))
    assert keras.backend.standardize_dtype(loss.dtype) == dtype


def test_one_hot_labels_are_an_error(batch):
    labels, points = batch
    for dtype in ("int32", "float32"):
        with pytest.raises(ValueError, match=r"Expected: .*\(B, 1\).*Received: shape \(12, 4\)"):
            tfa.TripletSemiHardLoss()(np.eye(4, dtype=dtype)[labels], points)


def test_unknown_distance_is_an_error():
    with pytest.raises(ValueError, match="squared-L2, angular.*'l2'"):
        tfa.TripletHardLoss(distance_metric="l2")


def test_a_weight_for_each_sample_is_an_error(batch):
    loss = tfa.TripletSemiHardLoss()
    assert float(loss(*batch, sample_weight=2.0)) == pytest.approx(2 * float(loss(*batch)))
    with pytest.raises(ValueError, match=r"scalar. Received: shape \(12,\)"):
        loss(*batch, sample_weight=np.ones(12))


def test_similarities_must_be_square(rng):
    with pytest.raises(ValueError, match=r"\(B, B\).*Received: shape \(4, 3\)"):
        tfa.NpairsLoss()(np.arange(4), rng.normal(size=(4, 3)))


def test_a_row_without_a_label_counts_as_zero(rng):
    tags = np.array([[1, 0], [0, 1], [0, 0]])
    similarities = rng.normal(size=(3, 3)).astype("float32")
    log_softmax = similarities - np.log(np.exp(similarities).sum(axis=1, keepdims=True))
    expected = -(log_softmax[0, 0] + log_softmax[1, 1]) / 3
    assert float(tfa.NpairsMultilabelLoss()(tags, similarities)) == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["squared-L2", city_block])
def test_a_saved_loss_comes_back_equal(metric, batch):
    loss = tfa.TripletHardLoss(margin=0.3, soft=True, distance_metric=metric, name="mine")
    config = json.loads(json.dumps(keras.losses.serialize(loss)))
    assert config["registered_name"] == "Addons>TripletHardLoss"
    revived = keras.losses.deserialize(config)
    assert revived.name == "mine"
    assert float(revived(*batch)) == float(loss(*batch))
    assert float(loss(*batch)) != float(tfa.TripletHardLoss()(*batch))


def test_a_configuration_written_by_tf_addons_is_read():
    written = {"reduction": "none", "name": None, "margin": 0.4, "distance_metric": "angular"}
    loss = tfa.TripletSemiHardLoss.from_config(written)
    assert loss.get_config() | {"name": None} == {
        "name": None, "margin": 0.4, "distance_metric": "angular",
    }  # fmt: skip
    with pytest.raises(ValueError, match="'none'. Received: reduction='sum'"):
        tfa.TripletSemiHardLoss.from_config(written | {"reduction": "sum"})


def test_a_pair_may_be_partly_similar():
    """TF Addons' value; `keras_metric.losses.ContrastiveLoss` refuses such labels."""
    values = tfa.contrastive_loss(np.float32([0.5]), np.float32([0.2]))
    assert float(values[0]) == pytest.approx(0.5 * 0.2**2 + 0.5 * 0.8**2)
    assert float(tfa.ContrastiveLoss()(np.float32([0.5]), np.float32([0.2]))) == float(values[0])


def test_fit_lowers_the_loss(batch):
    labels, points = batch
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss=tfa.losses.TripletSemiHardLoss())
    history = model.fit(points, labels + 2**30, epochs=40, batch_size=12, verbose=0).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]


def value_and_gradient(loss, labels, points):
    backend = keras.backend.backend()
    points = ops.convert_to_tensor(points)
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function(input_signature=[tf.TensorSpec([None], "int64"), tf.TensorSpec([None, 8])])
        def both(labels, points):
            with tf.GradientTape() as tape:
                tape.watch(points)
                value = loss(labels, points)
            return value, tape.gradient(value, points)

        value, gradient = both(tf.constant(labels, "int64"), points)
    elif backend == "jax":
        import jax

        value, gradient = jax.jit(jax.value_and_grad(lambda x: loss(labels, x)))(points)
    else:
        points = points.detach().requires_grad_()
        value = loss(labels, points)
        value.backward()
        value, gradient = value.detach(), points.grad
        gradient = np.zeros(1) if gradient is None else ops.convert_to_numpy(gradient)
    return float(value), np.asarray(gradient)

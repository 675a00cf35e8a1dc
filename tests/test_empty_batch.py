"""A batch of no rows, as a replica gets when the last batch has fewer rows than it has replicas."""

import numpy as np
import pytest
from keras import ops

from keras_metric import diagnostics, heads, losses, metrics
from keras_metric.losses import PairLoss

LABELS, NOTHING = np.zeros(0, "int64"), np.zeros((0, 3), "float32")
LABELLED = [n for n in losses.__all__ if issubclass(getattr(losses, n), PairLoss)]
IN_BATCH = ("RecallAtK", "MAPAtR", "MeanReciprocalRank", "ROCAUC")
STEPS = [(losses, name) for name in LABELLED]
MEASURES = [(diagnostics, name) for name in diagnostics.__all__] + [(metrics, n) for n in IN_BATCH]


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", None])
def test_every_reduction(reduction):
    for rows in (None, 4):
        loss = losses.LiftedStructureLoss(reduction=reduction, rows_per_block=rows)
        value = loss(LABELS, NOTHING, sample_weight=np.zeros(0))
        assert tuple(value.shape) == (() if reduction else (0,))
        assert float(ops.sum(value)) == 0


def test_anchors_of_none_against_candidates(rng):
    candidates = rng.normal(size=(4, 3)).astype("float32")
    values = losses.TripletLoss().against(LABELS, NOTHING, np.arange(4), candidates)
    assert tuple(values.shape) == (0,)


def test_candidates_of_none_are_refused(rng):
    with pytest.raises(ValueError, match="Expected: at least one candidate.*Received: 0"):
        losses.TripletLoss().against(np.zeros(2, int), np.ones((2, 3)), LABELS, NOTHING)


@pytest.mark.parametrize("name", heads.__all__)
def test_heads(name):
    head = getattr(heads, name)(5)
    logits = head(NOTHING)
    assert tuple(logits.shape) == (0, 5)
    assert float(ops.stop_gradient(head.loss()(LABELS, logits))) == 0


@pytest.mark.parametrize(("room", "name"), MEASURES)
def test_metrics_weigh_nothing(room, name, rng):
    metric, empty = getattr(room, name)(), getattr(room, name)()
    labels, x = np.arange(6) % 2, rng.normal(size=(6, 3)).astype("float32")
    if name == "NonFiniteRows":
        x[0, 0] = np.nan
    empty.update_state(LABELS, NOTHING)
    for one in (metric, empty):
        one.update_state(labels, x)
    assert float(empty.result()) == float(metric.result()) > 0


@pytest.mark.tensorflow
@pytest.mark.parametrize(("room", "name"), [*STEPS, *MEASURES])
def test_in_a_graph_that_does_not_know_the_size(room, name):
    import tensorflow as tf

    made = getattr(room, name)()
    act = made if room is losses else made.update_state
    spec = [tf.TensorSpec([None], "int64"), tf.TensorSpec([None, 3])]

    @tf.function(input_signature=spec)
    def step(labels, embeddings):
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = act(labels, embeddings)
        return value, value is not None and tape.gradient(value, embeddings)

    value, gradient = step(LABELS, NOTHING)
    if room is losses:
        assert float(value) == 0
        assert gradient.shape == (0, 3)
        labels, x = np.arange(6) % 2, np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
        value, _ = step(labels, x)
        assert float(value) == pytest.approx(float(made(labels, x)), rel=1e-5)
    else:
        assert float(made.result()) == 0


@pytest.mark.tensorflow
@pytest.mark.parametrize("mining", ["semi_hard", "hard", "all", "easy_positive"])
def test_one_label_known_and_rows_unknown(mining):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([1], "int64"), tf.TensorSpec([None, 3])])
    def step(labels, embeddings):
        return losses.TripletLoss(mining=mining)(labels, embeddings)

    assert float(step(np.zeros(1, "int64"), np.ones((1, 3), "float32"))) == 0

"""Graphs of TensorFlow are valid: what branches keep for the backward pass has one type a place."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_metric import losses

pytestmark = pytest.mark.tensorflow
ROOT = Path(__file__).resolve().parents[2]
FIT = """
import keras
import numpy as np
import keras_metric as km

images = np.random.default_rng(0).normal(size=(32, 6, 6, 1)).astype("float32")
labels = np.repeat(np.arange(8), 4)
batches = km.batches.PKBatches(images, labels, classes_per_batch=4, images_per_class=4)
encoder = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(4)])
encoder.compile("sgd", km.losses.TripletLoss(), metrics=[km.metrics.RecallAtK(1)])
encoder.fit(batches, validation_data=(images, labels), verbose=0)
encoder.evaluate(images, labels, verbose=0)
encoder.predict(images, verbose=0)
"""
CASES = [
    ("TripletLoss", {}),
    ("TripletLoss", {"mining": "all"}),
    ("TripletLoss", {"miner": "multi_similarity", "rows_per_block": 8}),
    ("InfoNCELoss", {}),
    ("MultiSimilarityLoss", {"miner": "multi_similarity"}),
    ("PairwiseContrastiveLoss", {"rows_per_block": 8}),
]


def kinds_kept(function) -> list[set]:
    """Of each branching and each place in what its branches keep, the types that are kept there."""
    library = function.graph.as_graph_def().library.function
    bodies = {body.signature.name: body for body in library}
    nodes = [node for body in library for node in body.node_def]
    nodes += function.graph.as_graph_def().node
    found = []
    for node in nodes:
        if node.op in ("Case", "StatelessCase"):
            names = [branch.name for branch in node.attr["branches"].list.func]
        elif node.op in ("If", "StatelessIf"):
            names = [node.attr[branch].func.name for branch in ("then_branch", "else_branch")]
        else:
            continue
        places = zip(*(kept(bodies[name]) for name in names), strict=True)
        found += [set(place) - {None} for place in places]
    return found


def kept(body) -> list[str | None]:
    """The type in each result of a function that is an optional value, None for other results."""
    nodes = {node.name: node for node in body.node_def}
    types = []
    for result in body.signature.output_arg:
        node = nodes.get(body.ret[result.name].partition(":")[0])
        wrapped = node is not None and node.op == "OptionalFromValue"
        types.append(str(node.attr["Toutput_types"].list.type) if wrapped else None)
    return types


def step_of(loss, rows, columns=None):
    import tensorflow as tf

    of_labels = [rows] if columns is None else [rows, columns]

    @tf.function(input_signature=[tf.TensorSpec(of_labels, "int64"), tf.TensorSpec([rows, 5])])
    def step(labels, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(labels, x)
        return value, tape.gradient(value, x)

    return step


@pytest.mark.parametrize(("name", "options"), CASES)
def test_what_branches_keep_has_one_type_a_place(name, options):
    loss = getattr(losses, name)(**options)
    if loss.few_positives_from is not None:
        loss.few_positives_from = 0
    places = kinds_kept(step_of(loss, None).get_concrete_function())
    assert [types for types in places if len(types) > 1] == []


def test_a_branching_that_mixes_types_is_seen():
    import tensorflow as tf

    def mixed(labels, x):
        few, many = (lambda: tf.exp(x) * x, lambda: tf.where(x > 0, x * x, x))
        return tf.reduce_sum(tf.switch_case(tf.cast(labels[0], tf.int32), [few, many]))

    places = kinds_kept(step_of(mixed, 24).get_concrete_function())
    assert [types for types in places if len(types) > 1]


def test_training_prints_no_warning_of_tensorflow():
    program = [sys.executable, "-c", FIT]
    run = subprocess.run(
        program, capture_output=True, text=True, cwd=ROOT, env={"TF_CPP_MIN_LOG_LEVEL": "0"}
    )
    assert run.returncode == 0, run.stderr
    assert "Type inference failed" not in run.stderr
    assert "invalid graph" not in run.stderr


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("mining", ["semi_hard", "all"])
def test_every_branch_has_the_value_and_gradient_of_whole_rows(mining, multi_label, rng):
    """Two, six and twelve images of a class: the first branch, the second, and the rarest."""
    x = rng.normal(size=(24, 5)).astype("float32")
    options = {"mining": mining, "multi_label": multi_label}
    fast, slow = losses.TripletLoss(**options), losses.TripletLoss(**options)
    slow.fast = False
    fast, slow = (step_of(loss, 24, 12 if multi_label else None) for loss in (fast, slow))
    for images in (2, 6, 12):
        classes = np.arange(24) // images
        labels = np.eye(12, dtype="int64")[classes] if multi_label else classes
        value, gradient = fast(labels, x)
        expected, wanted = slow(labels, x)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-6)

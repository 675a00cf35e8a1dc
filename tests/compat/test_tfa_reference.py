"""compat.tfa against what TF Addons itself returned: tests/reference/make_tensorflow_addons.py."""

import json
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric.compat import tfa

FILE = Path(__file__).parent.parent / "reference" / "tensorflow_addons.npz"
TOLERANCE = {"float32": 2e-5, "float16": 2e-3, "bfloat16": 1.6e-2}


def manhattan(x):
    return ops.sum(ops.abs(x[:, None] - x[None]), axis=-1)


def load():
    """The records, each with its arrays cut out of the flat ones."""
    with np.load(FILE) as file:
        flat = {name: file[name] for name in ("labels", "inputs", "outputs", "gradients")}
        records = json.loads(str(file["cases"]))
    for record in records:
        for name, array in flat.items():
            if name in record:
                start, *shape = record[name]
                record[name] = array[start : start + int(np.prod(shape))].reshape(shape)
    return records


RECORDS = load()
if keras.backend.backend() == "jax":  # compiles each record for seconds: one of each kind, of 12
    KINDS = {
        (record["loss"], record["arguments"].get("distance_metric")): record
        for record in RECORDS
        if record["dtype"] == "float32" and record["inputs"].shape in ((12, 8), (6,), (12, 12))
    }
    RECORDS = list(KINDS.values())
NAMES = sorted({record["loss"] for record in RECORDS})


def function_of(record):
    arguments = dict(record["arguments"])
    if arguments.get("distance_metric") == "manhattan":
        arguments["distance_metric"] = manhattan
    if "labels" not in record:
        return lambda x: getattr(tfa.metric_learning, record["loss"])(x, **arguments)
    loss = getattr(tfa.losses, record["loss"])(**arguments)
    return lambda x: loss(record["labels"], x)


def ramp_sum(output):
    """The sum whose gradient the reference holds."""
    output = ops.cast(output, "float32")
    size = int(np.prod(output.shape))
    ramp = np.linspace(1, 2, size, dtype="float32") if size > 1 else np.ones(1, "float32")
    return ops.sum(ops.multiply(output, ramp.reshape(tuple(output.shape))))


def of_points(gradient, inputs):
    """Gradients summed over equal points: which of two equal negatives is the nearest is free."""
    if inputs.ndim == 1:
        return gradient
    _, point = np.unique(inputs, axis=0, return_inverse=True)
    summed = np.zeros_like(gradient)
    np.add.at(summed, point.reshape(-1), gradient)
    return summed


def value_and_gradient(function, inputs, dtype):
    """What `function(inputs)` is and the gradient of its ramp sum, as float32 arrays."""
    backend = keras.backend.backend()
    inputs = ops.convert_to_tensor(inputs, dtype=dtype)
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = function(inputs)
            total = ramp_sum(output)
        gradient = tape.gradient(total, inputs)
    elif backend == "jax":
        import jax

        def total_and_output(inputs):
            output = function(inputs)
            return ramp_sum(output), output

        both = jax.jit(jax.value_and_grad(total_and_output, has_aux=True))
        (_, output), gradient = both(inputs)
    else:
        inputs = inputs.detach().requires_grad_()
        output = function(inputs)
        ramp_sum(output).backward()
        gradient = inputs.grad
    assert keras.backend.standardize_dtype(output.dtype) == dtype
    return tuple(ops.convert_to_numpy(ops.cast(x, "float32")) for x in (output, gradient))


@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients(name):
    records = [record for record in RECORDS if record["loss"] == name]
    assert len(records) >= 1
    for record in records:
        inputs, dtype = record["inputs"], record["dtype"]
        value, gradient = value_and_gradient(function_of(record), inputs, dtype)
        what = f"{name} {record['arguments']} {inputs.shape} {dtype}"
        near(value, record["outputs"], TOLERANCE[dtype], what)
        near(
            of_points(gradient, inputs),
            of_points(record["gradients"], inputs),
            TOLERANCE[dtype],
            f"gradient of {what}",
        )


def near(found, expected, tolerance, what):
    scale = max(np.abs(expected).max(), 1e-3)
    np.testing.assert_allclose(
        found, expected, rtol=tolerance, atol=tolerance * scale, err_msg=what
    )


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="uses a part of the records")
def test_the_reference_covers_every_loss_many_times():
    count = Counter(record["loss"] for record in RECORDS)
    batch_losses = {name for name in tfa.losses.__all__ if name[0].isupper()}
    assert batch_losses | {"pairwise_distance", "angular_distance"} == set(count)
    assert count["TripletSemiHardLoss"] > 60
    assert count["TripletHardLoss"] > 60
    assert min(count.values()) >= 4

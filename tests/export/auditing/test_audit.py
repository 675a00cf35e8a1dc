"""The audit passes what `saved_model` writes and names what a server would stumble over."""

import json
import re

import keras
import numpy as np
import pytest

from keras_metric.export import audit

pytestmark = pytest.mark.tensorflow


def written(folder, function, spec):
    """A SavedModel of one function, by TensorFlow alone."""
    import tensorflow as tf

    from keras_metric.export.saved_models.graph import quiet_tensorflow

    module = tf.Module()
    module.answer = tf.function(function, [spec], autograph=False)
    with quiet_tensorflow():
        tf.saved_model.save(module, str(folder), signatures={"serving_default": module.answer})
    return folder


def test_what_we_write_is_fit_to_serve(exported):
    report = audit(exported)
    assert report.ok, report.faults
    assert set(report.signatures) == {
        "serving_default", "embed", "similarity", "bytes", "similarity_bytes",
    }  # fmt: skip
    assert report.operations["Conv2D"] == 1  # traced once, shared by all signatures
    assert report.sizes["variables"] > 0
    assert not any(report.on_cpu[name] for name in ("serving_default", "embed", "similarity"))
    assert "DecodeImage" in report.on_cpu["bytes"]
    assert "Conv2D" not in report.on_cpu["bytes"]
    assert json.loads(json.dumps(report.as_dict()))["ok"] is True
    text = str(report)
    assert "verdict      ok" in text
    assert "images float32[-1, 16, 12, 3]" in text
    assert "on the GPU   all of embed, serving_default, similarity" in text
    assert "on the CPU   of bytes, similarity_bytes: BatchDatasetV2" in text


def test_augmentation_left_on_is_a_fault(encoder, tmp_path):
    encoder.export(tmp_path / "1", verbose=False)
    report = audit(tmp_path)
    assert not report.ok
    assert any("random" in fault and "StatelessRandom" in fault for fault in report.faults)
    assert "not fit to serve" in str(report)


def python_code(x):
    import tensorflow as tf

    return tf.ensure_shape(tf.numpy_function(np.abs, [x], tf.float32), [None, 3])


def own_path(x):
    import tensorflow as tf

    with tf.control_dependencies([tf.strings.length("/home/someone/labels.txt")]):
        return x + 1


def baked_in(x):
    import tensorflow as tf

    return x @ tf.constant(np.random.default_rng(0).normal(size=(3, 200_000)), tf.float32)


def compiled(x):
    import tensorflow as tf

    return tf.function(lambda x: x * 2, jit_compile=True)(x)


@pytest.mark.parametrize(
    ("function", "shape", "fault"),
    [
        (python_code, [None, 3], "runs Python code.*PyFunc"),
        (own_path, [None, 3], "a path of another machine: /home/someone/labels.txt"),
        (baked_in, [None, 3], "2,400,[0-9]+ bytes of constants"),
        (compiled, [None, 3], "needs XLA.*jit_compile"),
        (keras.ops.abs, [2, 3], "input x takes 2 at a time"),
    ],
)
def test_each_fault_is_found_alone(function, shape, fault, tmp_path):
    import tensorflow as tf

    folder = written(tmp_path, function, tf.TensorSpec(shape, name="x"))
    (found,) = audit(folder).faults
    assert re.search(fault, found)


def test_a_loader_that_refuses_is_a_fault(tmp_path):
    import tensorflow as tf

    folder = written(tmp_path, keras.ops.abs, tf.TensorSpec([None, 3], name="x"))
    for file in (folder / "variables").iterdir():
        file.unlink()
    (folder / "variables").rmdir()
    whole = (folder / "saved_model.pb").read_bytes()
    assert audit(folder).ok
    (folder / "saved_model.pb").write_bytes(whole.replace(b"Abs", b"Abz"))
    report = audit(folder)
    assert any("unknown to TensorFlow: Abz" in fault for fault in report.faults)
    assert any("loader refuses it" in fault for fault in report.faults)


def test_nothing_to_audit(tmp_path):
    with pytest.raises(FileNotFoundError, match="Received: an empty folder"):
        audit(tmp_path)

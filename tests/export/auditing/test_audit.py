"""The audit passes what `saved_model` writes and names what a server would stumble over."""

import json
import re

import keras
import numpy as np
import pytest

from keras_metric.export import Runtime, RuntimeFault, audit

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


def any_file(x):
    import tensorflow as tf

    text = tf.strings.as_string(x[:, 0])
    return tf.map_fn(tf.io.read_file, tf.strings.join(["data", text]), tf.string)


def files_by_name(x):
    import tensorflow as tf

    lines = tf.data.TextLineDataset(tf.strings.join(["data", tf.strings.as_string(x[0, 0])]))
    return x + tf.cast(lines.reduce(tf.constant(0, tf.int64), lambda n, line: n + 1), tf.float32)


def writes(x):
    import tensorflow as tf

    with tf.control_dependencies([tf.io.write_file("out.txt", "text")]):
        return x + 1


def prints(x):
    import tensorflow as tf

    with tf.control_dependencies([tf.print(x)]):
        return x + 1


def draws(x):
    import tensorflow as tf

    return x + tf.cast(tf.random.categorical([[0.5, 0.5]], 1), tf.float32)


@pytest.mark.parametrize(
    ("function", "shape", "fault"),
    [
        (python_code, [None, 3], "runs Python code.*PyFunc"),
        (own_path, [None, 3], "a path of another machine: /home/someone/labels.txt"),
        (baked_in, [None, 3], "2,400,[0-9]+ bytes of constants"),
        (compiled, [None, 3], "needs XLA.*jit_compile"),
        (any_file, [None, 3], "reads or writes files of the server: ReadFile"),
        (files_by_name, [None, 3], "reads or writes files.*TextLineDataset"),
        (writes, [None, 3], "reads or writes files of the server: WriteFile"),
        (prints, [None, 3], "prints into the log of the server: PrintV2"),
        (draws, [None, 3], "is random.*Multinomial"),
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


def test_what_changes_from_request_to_request_is_found(tmp_path):
    import tensorflow as tf

    def add_up(x):
        return module.total.assign_add(tf.reduce_sum(x)) + x

    def collect(x):
        module.table.insert(tf.constant([1], tf.int64), tf.constant([1.0]))
        return x + 1

    def draw(x):
        return x + module.generator.normal([3])

    module = tf.Module()
    module.total = tf.Variable(0.0)
    module.table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.0)
    module.generator = tf.random.Generator.from_seed(0)
    for function, fault in (
        (add_up, "changes variables.*AssignAddVariableOp"),
        (collect, "changes variables, tables.*LookupTableInsertV2"),
        (draw, "is random.*RngReadAndSkip"),
    ):
        folder = tmp_path / function.__name__
        module.answer = tf.function(function, [tf.TensorSpec([None, 3], name="x")], autograph=False)
        tf.saved_model.save(module, str(folder), signatures=module.answer)
        found = audit(folder).faults
        assert any(re.search(fault, one) for one in found), (function, found)


def test_a_table_that_is_read_from_the_directory_of_the_process(tmp_path, monkeypatch):
    """Its file travels as an asset; what an initializer finds by a relative path does not."""
    import tensorflow as tf

    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("ant\nbee\n")

    class Lines(tf.lookup.TextFileInitializer):
        def initialize(self, table):  # not through the asset
            from tensorflow.python.ops import gen_lookup_ops

            return gen_lookup_ops.initialize_table_from_text_file_v2(
                table.resource_handle, "words.txt", -1, -2, -1, "\t"
            )

    def with_table(kind):
        module = tf.Module()
        lines = kind("words.txt", tf.int64, -1, tf.string, -2)
        module.table = tf.lookup.StaticHashTable(lines, "")
        module.answer = tf.function(
            lambda x: {"word": module.table.lookup(tf.cast(x, tf.int64))},
            [tf.TensorSpec([None], name="x")],
        )
        return module

    for kind, ok in ((tf.lookup.TextFileInitializer, True), (Lines, False)):
        module = with_table(kind)
        tf.saved_model.save(module, kind.__name__, signatures=module.answer)
        report = audit(kind.__name__)
        assert report.ok == ok, report.faults


def test_without_a_signature_there_is_nothing_to_ask(tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.one, module.other = (
        tf.function(f, [tf.TensorSpec([None, 3], name="x")]) for f in (keras.ops.abs, keras.ops.exp)
    )
    tf.saved_model.save(module, str(tmp_path))
    assert audit(tmp_path).faults == ("no signature: there is nothing to ask",)


@pytest.mark.parametrize("lost", ["variables", "variables/variables.index", "data"])
def test_lost_files_are_faults(exported, tmp_path, lost):
    import shutil

    folder = shutil.copytree(exported, tmp_path / "1")
    place = folder / lost
    if lost == "data":
        place = next((folder / "variables").glob("*.data-*"))
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    (fault,) = audit(folder).faults
    wanted = "a server's loader refuses" if lost == "data" else "the variables are missing"
    assert wanted in fault
    with pytest.raises((FileNotFoundError, RuntimeFault)):
        Runtime(folder)


def test_the_effects_name_operations_that_exist():
    from tensorflow.python.framework import kernels

    from keras_metric.export.auditing.effects import _EFFECTS

    known = {kernel.op for kernel in kernels.get_all_registered_kernels().kernel}
    known |= {"XlaLaunchV2", "_XlaCompile", "_XlaRun", "XlaCallModule"}
    for names in _EFFECTS.values():
        for name in names.split():
            assert any(re.fullmatch(name, op) for op in known), name


def test_nothing_to_audit(tmp_path):
    with pytest.raises(FileNotFoundError, match="Received: an empty folder"):
        audit(tmp_path)

"""The served answers, as a server gets them, are the Keras model's: C library and session."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_metric.export

pytestmark = pytest.mark.tensorflow

ALONE = """
import sys
import numpy as np
from runtime import Runtime

given = np.load("given.npz")
with Runtime("model", threads=1) as served:
    answers = {}
    for count in (0, 1, 2, 6):
        left = given["images"][:count]
        for signature, inputs in {
            "serving_default": {"images": left},
            "embed": {"images": left},
            "similarity": {"left": left, "right": left[::-1]},
        }.items():
            for name, values in served(signature, **inputs).items():
                answers[f"{signature}/{name}/{count}"] = values
np.savez("answers.npz", **answers)
print(sorted(m for m in sys.modules if m.split(".")[0] in ("tensorflow", "keras", "keras_metric")))
"""


@pytest.fixture(scope="module")
def answers(exported, images, tmp_path_factory):
    """Answers of a process that holds the model, the runtime folder, and nothing of ours."""
    folder = tmp_path_factory.mktemp("alone")
    home = Path(keras_metric.export.__file__).parent
    shutil.copytree(home / "runtime", folder / "runtime")
    shutil.copytree(exported, folder / "model")
    np.savez(folder / "given.npz", images=images)
    (folder / "alone.py").write_text(ALONE)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "KERAS"))}
    done = subprocess.run(
        [sys.executable, "alone.py"], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    return np.load(folder / "answers.npz")


@pytest.mark.parametrize("count", [0, 1, 2, 6])
def test_c_library_alone_answers_as_keras_does(answers, encoder, images, threshold, count):
    wanted = np.asarray(encoder(images, training=False))[:count]
    distance = np.linalg.norm(wanted - wanted[::-1], axis=1)
    assert answers[f"serving_default/embeddings/{count}"].shape == (count, 5)
    np.testing.assert_allclose(
        answers[f"serving_default/embeddings/{count}"], wanted, atol=1e-5, rtol=1e-5
    )
    np.testing.assert_array_equal(
        answers[f"embed/embeddings/{count}"], answers[f"serving_default/embeddings/{count}"]
    )
    np.testing.assert_allclose(answers[f"similarity/distance/{count}"], distance, atol=1e-5)
    np.testing.assert_array_equal(
        answers[f"similarity/same/{count}"], answers[f"similarity/distance/{count}"] <= threshold
    )


def test_the_command_and_the_server_need_neither_keras_nor_tensorflow():
    code = (
        "import sys, keras_metric.export.runtime, keras_metric.serve\n"
        "assert not {'keras', 'tensorflow', 'starlette', 'grpc'} & set(sys.modules)"
    )
    paths = os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))
    environment = {**os.environ, "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_the_verdict_says_both(answers):
    assert set(answers["similarity/same/6"]) == {True, False}


def test_a_session_answers_as_keras_does(exported, encoder, images):
    from keras_metric.export.saved_models.graph import session

    wanted = np.asarray(encoder(images, training=False))
    with session(exported) as served:
        for count in (1, 6):
            answer = served("serving_default", {"images": images[:count]})
            np.testing.assert_allclose(answer["embeddings"], wanted[:count], atol=1e-5, rtol=1e-5)


def test_the_command_of_tensorflow_answers_as_keras_does(exported, encoder, images, tmp_path):
    for name, array in {"left": images, "right": images[::-1]}.items():
        np.save(tmp_path / f"{name}.npy", array)
    given = ";".join(f"{name}={tmp_path / name}.npy" for name in ("left", "right"))
    command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "run"]
    command += ["--dir", str(exported), "--tag_set", "serve", "--signature_def", "similarity"]
    command += ["--inputs", given, "--outdir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    embeddings = np.asarray(encoder(images, training=False))
    wanted = np.linalg.norm(embeddings - embeddings[::-1], axis=1)
    np.testing.assert_allclose(np.load(tmp_path / "distance.npy"), wanted, atol=1e-5)


@pytest.fixture(scope="module")
def runtime(exported):
    # xla=True: the switch is one for the process, and other tests of the process may need it
    with keras_metric.export.Runtime(exported, xla=True) as served:
        yield served


def test_augmentation_is_off(runtime, images):
    first, again = runtime(images=images), runtime(images=images)
    np.testing.assert_array_equal(first["embeddings"], again["embeddings"])


def test_signatures_are_named_and_take_any_batch(runtime):
    similarity = runtime.signatures["similarity"]
    assert set(runtime.signatures) == {
        "serving_default",
        "embed",
        "similarity",
        "bytes",
        "similarity_bytes",
    }
    assert {name: str(t) for name, t in similarity.inputs.items()} == {
        "left": "float32[-1, 16, 12, 3]",
        "right": "float32[-1, 16, 12, 3]",
    }
    assert {name: str(t) for name, t in similarity.outputs.items()} == {
        "distance": "float32[-1]",
        "same": "bool[-1]",
    }


def test_refusals_name_what_was_expected(runtime, images, tmp_path):
    with pytest.raises(KeyError, match=r"Expected: one of bytes, embed, .*Received: 'nearest'"):
        runtime("nearest", images=images)
    with pytest.raises(TypeError, match="Expected: left, right. Received: images|right, left"):
        runtime("similarity", images=images)
    with pytest.raises(FileNotFoundError, match="There is no SavedModel"):
        keras_metric.export.Runtime(tmp_path)


@pytest.mark.parametrize(
    "wrong", [np.s_[:, :4], np.s_[:, :, :, :1], np.s_[0], np.s_[:, None], np.s_[0, 0, 0, 0]]
)
def test_the_graph_refuses_wrong_shapes(runtime, images, wrong):
    for inputs in ({"images": images[wrong]}, {"left": images[wrong], "right": images[wrong]}):
        with pytest.raises(keras_metric.export.RuntimeFault, match="(?i)shape") as refusal:
            runtime("embed" if len(inputs) == 1 else "similarity", **inputs)
        assert refusal.value.code == 3


def test_the_graph_refuses_pairs_that_do_not_pair(runtime, images):
    for count in (0, 1, 5):
        with pytest.raises(keras_metric.export.RuntimeFault, match="left and right differ"):
            runtime("similarity", left=images, right=images[:count])


@pytest.mark.parametrize("said", ["", ", xla=False"])
def test_python_tensorflow_keeps_xla_unless_told_otherwise(exported, said):
    program = f"""
import tensorflow as tf
from keras_metric.export import Runtime
Runtime({str(exported)!r}{said}).close()
print(tf.function(lambda x: x + 1, jit_compile=True)(tf.constant(1.0)).numpy())"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if said:
        assert "XLA compilation disabled" in run.stderr
    else:
        assert run.stdout == "2.0\n", run.stderr

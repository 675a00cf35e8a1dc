"""The same shards from a Keras model, a SavedModel, and workers of Ray."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_metric.export import saved_model
from keras_metric.retrieval.storage.shards import read_manifest, read_shards
from zoo.cli import main

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    keras.utils.set_random_seed(0)
    image = x = keras.Input((64, 64, 3))
    x = layers.Rescaling(1 / 255)(x)
    for channels in (8, 16, 32):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    x = layers.UnitNormalization()(layers.Dense(32)(layers.GlobalAveragePooling2D()(x)))
    folder = tmp_path_factory.mktemp("models")
    model = keras.Model(image, x)
    model.save(folder / "encoder.keras")
    saved_model(model, folder / "served")
    return folder


PHOTOS = {"validation": 341, "train": 3068}


@pytest.fixture(
    scope="module", params=["validation", pytest.param("train", marks=pytest.mark.slow)]
)
def photos(request, real_data, tmp_path_factory):
    """The photographs of a set, 5 of them damaged."""
    folder = tmp_path_factory.mktemp("photos") / request.param
    shutil.copytree(real_data / "clothing" / request.param, folder)
    files = sorted(folder.rglob("*.jpg"))
    for k, file in enumerate(random.Random(0).sample(files, 5)):
        whole = file.read_bytes()
        file.chmod(0o644)
        file.write_bytes([whole[: len(whole) // 2], b"", b"no picture", whole[:200], whole[99:]][k])
    return folder


@pytest.fixture(scope="module")
def plain(served, photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("plain")
    assert main(["embed", str(served / "served"), str(photos), "-o", str(out), *SMALL]) == 3
    return out


SMALL = ["--shard", "100", "--batch", "32"]


def rows(out: Path) -> dict[str, tuple]:
    return {
        path: (label, row.tobytes())
        for shard in read_shards(out)
        for path, label, row in zip(shard.paths, shard.labels, shard.embeddings, strict=True)
    }


def test_a_saved_model_embeds_as_its_keras_model(served, photos, plain, tmp_path):
    out = tmp_path / "keras"
    assert main(["embed", str(served / "encoder.keras"), str(photos), "-o", str(out), *SMALL]) == 3
    assert read_manifest(out)["model"] == read_manifest(plain)["model"]
    for ours, theirs in zip(read_shards(out), read_shards(plain), strict=True):
        assert ours.paths == theirs.paths
        np.testing.assert_allclose(ours.embeddings, theirs.embeddings, atol=1e-6)


def test_ray_gives_the_same_bits(served, photos, plain, tmp_path):
    """Two workers, from the second shard on: the first is there already."""
    pytest.importorskip("ray")
    out = tmp_path / "ray"
    shutil.copytree(plain, out)
    kept = (out / "part-00000.parquet").stat().st_mtime_ns
    for shard in sorted(out.glob("part-*.parquet"))[1:]:
        shard.unlink()
    command = [sys.executable, "-m", "zoo", "embed", served / "served", photos, "-o", out]
    options = ["--engine", "ray", "--workers", "2", *SMALL]
    root = str(Path(__file__).resolve().parents[3])
    done = subprocess.run(
        [*map(str, command), *options],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.returncode == 3, done.stderr[-3000:]
    count = PHOTOS[photos.name]
    assert f"5 of {count:,} images skipped" in done.stdout
    assert (out / "part-00000.parquet").stat().st_mtime_ns == kept
    assert rows(out) == rows(plain)
    assert len(rows(out)) == count - 5


def test_a_worker_loads_no_keras(served):
    program = (
        "import sys; from pathlib import Path; from zoo.inference.bulk import networks, on_ray; "
        "network = networks.load(networks.Source(Path(sys.argv[1]), threads=1)); "
        "assert not {'keras', 'tensorflow'} & set(sys.modules); print(network.shape)"
    )
    root = str(Path(__file__).resolve().parents[3])
    command = [sys.executable, "-c", program, str(served / "served" / "1")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "(64, 64, 3)"


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_no_byte(served, tmp_path):
    """kill -9 of one of two workers of Ray in the middle: its part is run again by another."""
    pytest.importorskip("ray")
    if not Path("/proc/self/stat").exists():
        pytest.skip("finds the workers in /proc")
    photos, undisturbed, out = (tmp_path / name for name in ("photos", "plain", "ray"))
    photos.mkdir()
    noise = np.random.default_rng(0)
    for number in range(400):
        picture = noise.integers(0, 256, (300, 300, 3)).astype("float32")
        keras.utils.save_img(photos / f"{number:03}.jpg", picture, scale=False)
    small = ["--shard", "10", "--batch", "8"]
    command = ["embed", str(served / "served"), str(photos)]
    assert main([*command, "-o", str(undisturbed), *small]) == 0
    options = ["-o", str(out), *small, "--engine", "ray", "--workers", "2"]
    root = str(Path(__file__).resolve().parents[3])
    running = subprocess.Popen(
        [sys.executable, "-m", "zoo", *command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
    )
    while len(list(out.glob("part-*.parquet"))) < 3 and running.poll() is None:
        time.sleep(0.02)
    workers = [pid for pid in below(running.pid) if command_of(pid).startswith("ray::MapWorker")]
    os.kill(workers[0], signal.SIGKILL)
    assert len(list(out.glob("part-*.parquet"))) < 40
    _, errors = running.communicate(timeout=300)
    assert running.returncode == 0, errors[-3000:]
    files = {file.name: file.read_bytes() for file in undisturbed.iterdir()}
    assert len(files) == 42  # with the manifest and what was skipped
    assert {file.name: file.read_bytes() for file in out.iterdir()} == files


def below(pid: int) -> set[int]:
    """The processes that a process has started, and theirs."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
    found, size = {pid}, 0
    while len(found) > size:
        size = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return found - {pid}


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""

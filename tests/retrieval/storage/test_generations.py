"""Saves are whole or not at all, and what is torn is refused."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_metric.retrieval import Index
from keras_metric.retrieval.storage import generations

pytest.importorskip("faiss")

SAVES_TWICE = """
import sys, numpy as np
from keras_metric.retrieval import Index
from keras_metric.retrieval.storage import generations
index = Index(distance="euclidean")
rng = np.random.default_rng(0)
index.add(rng.normal(size=(100_000, 128)).astype("float32"), np.arange(100_000))
index.save(sys.argv[1])
index.add(rng.normal(size=(100_000, 128)).astype("float32"), np.arange(100_000))
steps = {name: getattr(generations, name) for name in ("_seal", "_put_in_force")}
def halting(*arguments):
    print(sys.argv[2], flush=True)
    sys.stdin.read()
name = sys.argv[2]
if name == "writing":
    write = index._store.table.write
    index._store.table.write = lambda folder: (write(folder), halting())
elif name == "removing":
    generations.shutil.rmtree = halting
else:
    setattr(generations, name, halting)
index.save(sys.argv[1])
"""


def killed_while(step: str, folder: Path) -> None:
    command = [sys.executable, "-c", SAVES_TWICE, str(folder), step]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline().decode().strip() == step
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("step", "records"),
    [("writing", 100_000), ("_put_in_force", 100_000), ("removing", 200_000)],
)
def test_killed_in_a_second_save_the_folder_holds_one_state_whole(step, records, tmp_path):
    killed_while(step, tmp_path / "index")
    index = Index.load(tmp_path / "index")
    assert len(index) == records
    expected = np.random.default_rng(0).normal(size=(100_000, 128)).astype("float32")
    np.testing.assert_array_equal(index._store.of(index.ids[:100_000]), expected)
    assert index.search(expected[77:78], k=1).labels == 77
    index.add(expected[:1])
    index.save(tmp_path / "index")
    assert len(Index.load(tmp_path / "index")) == records + 1
    names = {path.name for path in (tmp_path / "index").iterdir()}
    assert len([name for name in names if "generation" in name]) == 1, "leftovers are removed"


@pytest.fixture
def saved(tmp_path, rng):
    index = Index()
    index.add(rng.normal(size=(50, 8)), np.arange(50))
    return index.save(tmp_path / "index")


@pytest.mark.parametrize("name", ["vectors.faiss", "records.json", "ids.npy"])
@pytest.mark.parametrize("tear", ["short", "changed", "gone"])
def test_a_torn_file_is_refused(name, tear, saved):
    file = saved / "generation-1" / name
    content = file.read_bytes()
    if tear == "gone":
        file.unlink()
    else:
        short, changed = content[:-1], content[:-1] + bytes([content[-1] ^ 1])
        file.write_bytes(short if tear == "short" else changed)
    received = {"short": f"{len(content) - 1:,} bytes", "changed": "of SHA-256", "gone": "no such"}
    words = f"The index is damaged: .*{name}. Expected: {len(content):,} bytes.*Received.*"
    with pytest.raises(ValueError, match=words + received[tear]):
        Index.load(saved)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"generation": 1}'])
def test_a_torn_manifest_is_refused(content, saved):
    (saved / "index.json").write_text(content)
    with pytest.raises(ValueError, match="index.json cannot be read. Expected: JSON.*Received"):
        Index.load(saved)


def test_a_failed_save_leaves_the_state_before(saved, rng, monkeypatch):
    index = Index.load(saved)
    index.add(rng.normal(size=(5, 8)))

    def full(folder):
        (folder / "half").write_text("of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(index._store.table, "write", full)
    with pytest.raises(OSError, match="No space left"):
        index.save(saved)
    assert len(Index.load(saved)) == 50
    assert sorted(path.name for path in saved.iterdir()) == [".lock", "generation-1", "index.json"]


def test_what_else_lies_there_is_left_alone(tmp_path, saved):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    (tmp_path / "file").write_text("")
    for place, received in (("mine", "thesis.txt"), ("file", "a file")):
        with pytest.raises(FileExistsError, match=f"in use. Expected.*Received: {received}"):
            Index.load(saved).save(tmp_path / place)
    with pytest.raises(FileNotFoundError, match="no index at.*Received: no folder"):
        Index.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="Received: no such file in it"):
        Index.load(tmp_path / "mine")


def test_two_writers_are_kept_apart(saved):
    with generations._only_writer(saved), pytest.raises(FileExistsError, match="being saved to"):
        Index.load(saved).save(saved)


def test_a_reader_follows_a_writer(saved, rng):
    """The generation being read is replaced meanwhile: the reader takes the new one."""
    index = Index.load(saved)
    index.add(rng.normal(size=(1, 8)))
    seen = []

    def read(place, facts):
        seen.append(facts["records"])
        if len(seen) == 1:
            index.save(saved)
            return (place / "ids.npy").read_bytes()
        return facts["records"]

    assert generations.load(saved, read) == 51
    assert seen == [50, 51]

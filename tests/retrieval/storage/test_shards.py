"""Shards: what was written is read, what is torn, missing or another model's is refused."""

import json

import numpy as np
import pytest

from keras_metric.retrieval import Shard, read_manifest, read_shard, read_shards, write_shard
from keras_metric.retrieval.storage.shards import MANIFEST, shard_name

parquet = pytest.importorskip("pyarrow.parquet")
MODEL = "a" * 64


@pytest.fixture
def shard(rng):
    return Shard(
        ["jay/1.png", "ключ.png", "owl/2.png"],
        ["jay", None, "owl"],
        rng.normal(size=(3, 4)).astype("float32"),
        [("jay/torn.png", "breaks off")],
    )


@pytest.fixture
def folder(shard, tmp_path):
    """Two shards and their manifest."""
    for number in (0, 1):
        write_shard(tmp_path / shard_name(number), shard, model=MODEL, distance="cosine")
    shards = [{"name": shard_name(number), "rows": 3} for number in (0, 1)]
    (tmp_path / MANIFEST).write_text(json.dumps({"model": MODEL, "shards": shards}))
    return tmp_path


def test_what_was_written_is_read(shard, folder):
    for found in read_shards(folder):
        assert found.paths == shard.paths
        assert found.labels == shard.labels
        assert found.skipped == shard.skipped
        np.testing.assert_array_equal(found.embeddings, shard.embeddings)
        assert found.embeddings.dtype == np.float32
    assert sorted(path.name for path in folder.iterdir()) == [
        MANIFEST, "part-00000.parquet", "part-00001.parquet",
    ]  # fmt: skip


def test_any_reader_of_parquet_understands_it(folder):
    table = parquet.read_table(folder / shard_name(0))
    assert [str(field.type) for field in table.schema] == [
        "string", "string", "fixed_size_list<element: float>[4]",
    ]  # fmt: skip
    assert table.schema.metadata[b"keras_metric.model"] == MODEL.encode()
    assert table.schema.metadata[b"keras_metric.distance"] == b"cosine"


def test_the_same_shard_is_the_same_bytes(shard, folder):
    assert (folder / shard_name(0)).read_bytes() == (folder / shard_name(1)).read_bytes()


def test_a_shard_of_no_rows(tmp_path):
    empty = Shard([], [], np.zeros((0, 4), "float32"), [("a", "b")])
    file = write_shard(tmp_path / shard_name(0), empty, model=MODEL, distance="cosine")
    found = read_shard(file, model=MODEL)
    assert found.embeddings.shape == (0, 4)
    assert found.skipped == [("a", "b")]


@pytest.mark.parametrize("size", [0, 4, 300, -1])
def test_a_torn_shard_is_refused(size, folder):
    file = folder / shard_name(1)
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ValueError, match="not a shard.*Expected.*Received"):
        list(read_shards(folder))


def test_other_models_and_missing_shards_are_refused(shard, folder):
    with pytest.raises(ValueError, match="another model. Expected.*bbbb.*Received: aaaa"):
        list(read_shards(folder, model="b" * 64))
    (folder / shard_name(1)).unlink()
    with pytest.raises(FileNotFoundError, match="A shard is missing"):
        list(read_shards(folder))


def test_folders_without_a_finished_manifest_are_refused(folder):
    (folder / MANIFEST).write_text(json.dumps({"model": MODEL}))
    with pytest.raises(ValueError, match="not finished"):
        read_manifest(folder)
    (folder / MANIFEST).write_text("{")
    with pytest.raises(ValueError, match="Expected: JSON"):
        read_manifest(folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(FileNotFoundError, match="There are no shards"):
        read_manifest(folder)


def test_nothing_is_left_of_a_write_that_fails(shard, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr(parquet, "write_table", fail)
    with pytest.raises(OSError, match="No space"):
        write_shard(tmp_path / shard_name(0), shard, model=MODEL, distance="cosine")
    assert list(tmp_path.iterdir()) == []

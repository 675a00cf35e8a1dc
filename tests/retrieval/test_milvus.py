"""An index in Milvus: where it lies, what it holds, and what is not there."""

import socket
import time

import pytest

from keras_metric.retrieval import Index
from keras_metric.retrieval.engines import milvus

pytest.importorskip("milvus_lite")
from milvus_lite.server_manager import server_manager_instance  # noqa: E402


@pytest.fixture
def vectors(rng):
    return rng.normal(size=(20, 16)).astype("float32")


def test_a_relative_file_is_found_from_everywhere(vectors, tmp_path, monkeypatch):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    index = Index(engine="birds.db")
    index.add(vectors)
    index.save("birds.index")
    index.close()
    monkeypatch.chdir(tmp_path / "there")
    again = Index.load("../here/birds.index")
    assert again.engine == str(tmp_path / "here" / "birds.db")
    assert again.search(vectors, k=1).ids[:, 0].tolist() == list(range(20))
    again.close()
    server_manager_instance.release_server(again.engine)
    (tmp_path / "here" / "birds.db").rename(tmp_path / "there" / "moved.db")
    with pytest.raises(FileNotFoundError, match="records .* are gone. Expected.*Received: none"):
        Index.load("../here/birds.index")
    assert not (tmp_path / "here" / "birds.db").exists()
    assert len(Index(engine="moved.db")) == 20


@pytest.mark.parametrize("listening", [False, True], ids=["nothing there", "nobody answers"])
def test_a_server_that_does_not_answer_is_told_within_seconds(listening, monkeypatch):
    assert milvus.SECONDS <= 5
    monkeypatch.setattr(milvus, "SECONDS", 1)
    with socket.socket() as place:
        place.bind(("localhost", 0))
        if listening:
            place.listen()
        address = f"http://localhost:{place.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(ConnectionError, match=f"no Milvus at {address}. Expected.*Received"):
            Index(engine=address)
    assert time.monotonic() - started < 10  # 1 s, and the machine may do something else as well


@pytest.mark.parametrize("engine", ["fais", "localhost:19530", "no/such/folder/birds.db"])
def test_what_is_no_address_is_refused(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConnectionError, match=f"no Milvus at .*{engine}. Expected.*Received"):
        Index(engine=engine)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_a_file_has_no_approximate_kinds(kind, tmp_path):
    with pytest.raises(ValueError, match=f"milvus-lite.*Expected: kind='exact'.*kind='{kind}'"):
        Index(engine=str(tmp_path / "birds.db"), kind=kind)
    assert list(tmp_path.iterdir()) == []

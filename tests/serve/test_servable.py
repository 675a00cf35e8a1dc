"""Versions come and go under the requests; the server ends when it has answered."""

import contextlib
import http.client
import json
import shutil
import threading
import time

import numpy as np
import pytest

from keras_metric.serve.refusals import Refusal
from keras_metric.serve.servable import Servable

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def copied(home, tmp_path):
    shutil.copytree(home / "1", tmp_path / "model" / "1")
    return tmp_path / "model"


def scores(servable: Servable, images) -> np.ndarray:
    with servable.borrowed(servable.name) as version:
        return version.predict("serving_default", {"images": images})["scores"]


def looked_twice(servable: Servable) -> bool:
    """A version is loaded when a second look finds it as it was."""
    return servable.refresh() or servable.refresh()


def test_a_new_version_takes_over_and_the_old_one_finishes(copied, pixels):
    images = pixels.astype("float32")
    servable = Servable(copied, name="tiny", threads=1)
    assert not servable.refresh()
    with servable.borrowed("tiny") as old:
        shutil.copytree(copied / "1", copied / ".2.partial")
        assert not servable.refresh()
        (copied / ".2.partial").rename(copied / "2")
        assert looked_twice(servable)
        with servable.borrowed("tiny") as new:
            assert (old.number, new.number) == (1, 2)
        assert old.predict("serving_default", {"images": images})["scores"].shape == (4, 3)
        with pytest.raises(Refusal, match=r"Specific\(tiny, 1\)"), servable.borrowed("tiny", 1):
            pass
    with pytest.raises(ValueError, match="runtime is closed"):
        old.runtime(images=images)
    np.testing.assert_allclose(scores(servable, images).sum(1), 1, atol=1e-5)
    servable.close()
    with pytest.raises(Refusal, match="going away"), servable.borrowed("tiny"):
        pass


@pytest.mark.parametrize("damage", ["graph", "warm-up"])
def test_a_broken_version_leaves_the_old_one_in_service(copied, pixels, damage):
    servable = Servable(copied, name="tiny", threads=1)
    shutil.copytree(copied / "1", copied / "2")
    if damage == "graph":
        (copied / "2" / "saved_model.pb").write_bytes(b"no graph")
    else:
        file = copied / "2" / "assets.extra" / "tf_serving_warmup_requests"
        file.write_bytes(file.read_bytes()[:-10])
    assert not looked_twice(servable)
    assert set(servable.failures) == {2}
    assert scores(servable, pixels.astype("float32")).shape == (4, 3)
    shutil.rmtree(copied / "2")
    shutil.copytree(copied / "1", copied / "2")
    assert looked_twice(servable)
    assert not servable.failures
    servable.close()


def test_a_version_in_pieces_is_taken_when_it_is_whole(copied, pixels):
    """Its files arrive one by one, in orders in which some loader would take what is half there."""
    images = pixels.astype("float32")
    wanted = {p.relative_to(copied / "1") for p in (copied / "1").rglob("*") if p.is_file()}
    graph_first = sorted(wanted, key=lambda p: (p.name != "saved_model.pb", str(p)))
    servable = Servable(copied, name="tiny", threads=1)
    for number, order in ((2, graph_first), (3, graph_first[::-1])):
        for place in order[:-1]:
            target = copied / str(number) / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(copied / "1" / place, target)
            looked_twice(servable)
            assert scores(servable, images).shape == (4, 3)
        target = copied / str(number) / order[-1]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(copied / "1" / order[-1], target)
        assert looked_twice(servable)
        with servable.borrowed("tiny", number):
            assert scores(servable, images).shape == (4, 3)
        assert not looked_twice(servable)
    servable.close()


def test_a_version_without_its_variables_is_not_taken(copied, pixels):
    """TensorFlow loads it; without a warm-up nothing would be amiss until the first request."""
    servable = Servable(copied, name="tiny", threads=1)
    ignored = shutil.ignore_patterns("variables.index", "assets.extra")
    shutil.copytree(copied / "1", copied / "2", ignore=ignored)
    assert not looked_twice(servable)
    assert "lost its variables" in servable.failures[2]
    servable.close()


def test_what_is_deleted_is_replaced_by_what_is_left(copied, pixels):
    images = pixels.astype("float32")
    for name in ("00000002", "3"):
        shutil.copytree(copied / "1", copied / name)
    (copied / "3" / "saved_model.pb").write_bytes(b"no graph")
    (copied / "7").write_text("not a folder")
    servable = Servable(copied, name="tiny", threads=1)
    assert set(servable.failures) == {3}
    with servable.borrowed("tiny", 2):  # TensorFlow Serving reads 00000002 as a version too
        pass
    (copied / "00000002" / "saved_model.pb").unlink()
    assert not looked_twice(servable)
    with servable.borrowed("tiny", 2):
        assert scores(servable, images).shape == (4, 3)
    shutil.rmtree(copied / "00000002")
    assert looked_twice(servable)
    with servable.borrowed("tiny", 1):
        assert scores(servable, images).shape == (4, 3)
    shutil.rmtree(copied)
    assert not looked_twice(servable)
    assert not servable.failures
    assert scores(servable, images).shape == (4, 3)
    servable.close()


def test_nothing_to_serve(tmp_path):
    with pytest.raises(FileNotFoundError, match="No model to serve"):
        Servable(tmp_path)


def test_the_process_takes_up_a_version_and_drains_on_sigterm(copied, launch, pixels):
    server = launch(copied)

    def asked(method: str, path: str, body: str | None = None) -> dict:
        connection = http.client.HTTPConnection("127.0.0.1", server.rest, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body)
            sent.release()
            return json.load(connection.getresponse())

    def status() -> int:
        return int(asked("GET", "/v1/models/tiny")["model_version_status"][0]["version"])

    sent = threading.Semaphore(0)

    assert status() == 1
    shutil.copytree(copied / "1", copied / ".new")
    (copied / ".new").rename(copied / "2")
    limit = time.monotonic() + 20
    while status() != 2:
        assert time.monotonic() < limit
        time.sleep(0.05)

    body = json.dumps({"instances": np.repeat(pixels, 40, axis=0).tolist()})
    answers = []

    def ask() -> None:
        answers.append(asked("POST", "/v1/models/tiny:predict", body))

    sent = threading.Semaphore(0)
    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for _ in askers:
        sent.acquire()
    server.process.terminate()
    code = server.process.wait(timeout=30)
    for asker in askers:
        asker.join()
    assert code == 0
    assert [len(answer["predictions"]) for answer in answers] == [160] * 4

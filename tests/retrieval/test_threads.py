"""Threads that search, add, remove and save at the same time share one index."""

import copy
import threading

import keras
import numpy as np
import pytest

from keras_metric.retrieval import Index
from keras_metric.retrieval.locking import ReadWriteLock

POINTS = np.random.default_rng(0).normal(size=(4000, 16)).astype("float32")


def in_threads(*functions):
    """Runs them at the same time; raises what one of them raised."""
    failures = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "deadlock"
    if failures:
        raise failures[0]


def test_answers_are_right_while_records_come_and_go(new, tmp_path):
    """The label of a record is its row, so each distance can be computed from the label."""
    index = new(distance="euclidean")
    remote = index.engine != "faiss"
    start, step, rounds = (100, 20, 5) if remote else (500, 100, 30)
    index.add(POINTS[:start], np.arange(start))
    added = threading.Event()

    def write():
        try:
            for number in range(rounds):
                rows = np.arange(start + number * step, start + (number + 1) * step)
                rows = rows[: len(POINTS) - rows[0]]
                ids = index.add(POINTS[rows], rows)
                index.remove(ids[::2])
        finally:
            added.set()

    def read():
        rng = np.random.default_rng()
        while not added.is_set():
            rows = rng.integers(start, size=25)
            found = index.search(POINTS[rows], k=3)
            apart = POINTS[found.labels.astype(int)] - POINTS[rows][:, None]
            expected = np.linalg.norm(apart, axis=-1)
            np.testing.assert_allclose(found.distances, expected, rtol=1e-5)
            assert (found.labels[:, 0] == rows).mean() > 0.5

    def save():
        while not added.is_set() and not remote:
            assert len(Index.load(index.save(tmp_path / "saved"))) >= start

    in_threads(write, read, read, save)
    assert len(index) == start + rounds * step // 2


def test_the_first_records_of_two_threads_are_of_one_width(new):
    for _ in range(1 if new(distance="cosine").engine != "faiss" else 20):
        index, refused = new(), []

        def add(width, index=index, refused=refused):
            try:
                index.add(np.ones((3, width)))
            except ValueError as error:
                refused.append(str(error))

        in_threads(lambda add=add: add(4), lambda add=add: add(5))
        assert len(index) == 3
        assert "another width" in refused[0]


def test_threads_share_an_encoder():
    pytest.importorskip("faiss")
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    images = np.random.default_rng(1).normal(size=(40, 4, 4, 1)).astype("float32")
    index = Index(model, distance="euclidean")
    index.add(images, range(40))

    def search():
        for _ in range(3):
            assert index.match(images).labels.tolist() == list(range(40))

    in_threads(search, search, search)


def test_a_filter_may_search_and_may_not_add():
    pytest.importorskip("faiss")
    index = Index(distance="euclidean")
    index.add(POINTS[:50], np.arange(50))

    def near(record):
        return index.search(POINTS[:1], k=1).labels[0, 0] != record["label"]

    assert index.search(POINTS[:1], k=1, filter=near).labels[0, 0] != 0
    with pytest.raises(RuntimeError, match=r"cannot be changed.*Expected.*Received"):
        index.search(POINTS[:1], filter=lambda record: len(index.add(POINTS[:1])) > 0)
    assert len(index) == 50


def test_a_copy_has_a_lock_of_its_own():
    lock = ReadWriteLock()
    with lock.writing(), copy.deepcopy(lock).writing():
        pass


def test_a_writer_waits_for_readers_and_goes_before_new_ones():
    lock, order = ReadWriteLock(), []
    reading, release = threading.Event(), threading.Event()

    def read_long():
        with lock.reading():
            reading.set()
            release.wait(10)
            with lock.reading():  # a thread that reads may read again, though a writer waits
                order.append("first reader")

    def write():
        reading.wait(10)
        with lock.writing():
            order.append("writer")

    def read_late():
        reading.wait(10)
        while not lock._waiting:
            pass
        threading.Timer(0.05, release.set).start()
        with lock.reading():
            order.append("late reader")

    in_threads(read_long, write, read_late)
    assert order == ["first reader", "writer", "late reader"]

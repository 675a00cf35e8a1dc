"""Folders of versions: names, drafts, and several processes that write at once."""

import os
import signal
import subprocess
import sys

import pytest

from keras_metric.export import latest, versions
from keras_metric.export.saved_models.versions import draft_in, publish, written_atomically

WRITER = """
import sys, time
from pathlib import Path
from keras_metric.export.saved_models.versions import draft_in, publish
with draft_in(Path(sys.argv[1])) as draft:
    (draft / "saved_model.pb").write_text(sys.argv[2])
    print("written", flush=True)
    sys.stdin.readline()
    print(publish(draft, sys.argv[1]).name)
"""


def writer(folder, text):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "written\n"
    return process


def test_versions_are_named_as_tensorflow_serving_reads_them(tmp_path):
    for name in ("1", "00000123", "0123", ".4.9.partial", "five", "²", "6.0", "9" * 19):
        (tmp_path / name).mkdir()
    (tmp_path / "0123" / "saved_model.pb").touch()
    (tmp_path / "200").touch()
    assert versions(tmp_path) == [1, 123]
    assert latest(tmp_path) == tmp_path / "0123"
    (tmp_path / "124").mkdir()
    assert latest(tmp_path) == tmp_path / "0123"
    with draft_in(tmp_path) as draft:
        assert publish(draft, tmp_path) == tmp_path / "201"
    with draft_in(tmp_path) as draft, pytest.raises(FileExistsError, match="Version 123"):
        publish(draft, tmp_path, 123)
    assert versions(tmp_path / "nowhere") == []


def test_two_processes_that_write_at_once_get_a_version_each(tmp_path):
    writers = [writer(tmp_path, text) for text in "ab"]
    names = [process.communicate("\n")[0].strip() for process in writers]
    assert names == ["1", "2"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2"]
    assert [(tmp_path / name / "saved_model.pb").read_text() for name in names] == ["a", "b"]


def test_a_number_taken_meanwhile(tmp_path):
    def taken(*arguments):
        if not (tmp_path / "1").exists():
            (tmp_path / "1").mkdir()
            (tmp_path / "1" / "saved_model.pb").touch()
        return rename(*arguments)

    rename = os.rename
    with pytest.MonkeyPatch.context() as patch, draft_in(tmp_path) as draft:
        patch.setattr(os, "rename", taken)
        assert publish(draft, tmp_path).name == "2"
    with pytest.raises(FileExistsError, match=r"Expected: a folder .*Received: one that does"):
        write_what_another_writes(tmp_path / "preset")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2", "preset"]


def write_what_another_writes(folder):
    with written_atomically(folder):
        folder.mkdir()
        (folder / "card").touch()


def test_a_draft_of_a_killed_process_is_deleted_and_one_in_use_is_not(tmp_path):
    (tmp_path / ".1.4242.partial").mkdir()  # as versions before 0.1.0 left them
    (tmp_path / ".mine.partial").mkdir()
    killed, running = writer(tmp_path, "a"), writer(tmp_path, "b")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert len(list(tmp_path.glob(".*.partial"))) == 3
    with draft_in(tmp_path) as draft:
        left = {p.name.split(".")[2] for p in tmp_path.glob(".*.*.partial")}
        assert left == {str(running.pid), str(os.getpid())}
        publish(draft, tmp_path)
    assert running.communicate("\n")[0].strip() == "2"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".mine.partial", "1", "2"]

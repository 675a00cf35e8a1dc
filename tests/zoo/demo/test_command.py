"""The command: what it refuses before it serves, what its help says, and how it ends."""

import re
import shutil
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from zoo import encoders
from zoo.cli import main, parser
from zoo.files import write_json
from zoo.runs.runs import Run

pytestmark = pytest.mark.tensorflow  # of the page, not of the numbers: those are in test_answers


def test_what_has_no_page_is_refused(run, indexed, classifier, tmp_path, capsys):
    other = tmp_path / "other.keras"
    encoders.build("tiny", (8, 8, 1), embedding=64, normalize=True).save(other)
    (tmp_path / "bare").mkdir()
    shutil.copy(run.model, tmp_path / "bare" / "model.keras")
    index = str(indexed.index)
    of_scenes = tmp_path / "digits-fcn"
    shutil.copytree(run.folder, of_scenes)
    write_json(Run(of_scenes).metrics, {**run.report(), "recipe": "digits-fcn", "settings": {}})
    for command, words in (
        ([str(other), "--index", index], "another model"),
        ([str(run.folder), "--index", str(tmp_path / "none")], "Received"),
        ([str(run.folder), "--index", index, "--threshold", "-1"], "--threshold"),
        ([str(tmp_path / "nowhere")], "There is nothing at"),
        ([str(tmp_path / "bare")], "No index was given"),
        ([str(other)], "No index was given"),
        ([str(classifier), "--layer", "none"], "is no layer to embed with"),
        ([str(of_scenes)], "The data of digits-fcn cannot be searched. Expected: single pictures"),
    ):
        assert main(["demo", *command, "--port", "0", "--no-browser"]) == 1
        error = capsys.readouterr().err
        assert words in error
        assert "Traceback" not in error


def test_a_taken_port_is_told(run, monkeypatch, capsys, gallery):
    monkeypatch.setattr("zoo.demo.recipe_gallery.of_run", lambda *_: gallery)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for port in (taken.getsockname()[1], 70_000):
            assert main(["demo", str(run.folder), "--port", str(port), "--no-browser"]) == 1
            wanted = f"Expected: a free one, or --port 0. Received: {port}"
            assert wanted in capsys.readouterr().err


def test_the_help_teaches(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["demo", "--help"])
    told = capsys.readouterr().out
    for word in ("keras-metric demo out/digits-triplet", "loopback", "ssh -L", "--no-browser"):
        assert word in told


def test_it_serves_until_it_is_told_to_stop(run, ask):
    command = [sys.executable, "-m", "zoo", "demo", run.folder, "--port", "0", "--no-browser"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([*command, "--json"], **pipes)
    try:
        line = next(x for x in process.stderr if "shows the model" in x)
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", line)[1])
        server = SimpleNamespace(port=port)
        assert ask(server, "/api/search?picture=sample-2")[1]["label"] == "2"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert run.folder.name in out

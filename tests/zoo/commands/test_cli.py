"""The command line: help, lists, errors that help, and JSON that is only JSON."""

import json
import logging

import pytest

import zoo
from zoo import commands
from zoo.cli import main


def failing(arguments, capsys) -> tuple[int, str]:
    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code
    return code, capsys.readouterr().err


@pytest.mark.parametrize("command", commands.names())
def test_every_command_teaches(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"examples:\n  keras-metric {command}" in capsys.readouterr().out.replace(
        "KERAS_BACKEND=jax ", ""
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["embed", "nowhere", ".", "-o", "out"],
        ["index", ".", "nowhere"],
        ["search", ".", "nowhere"],
        ["calibrate", "nowhere", "."],
        ["neighbours-report", ".", "nowhere", "-o", "a.html"],
        ["demo", "nowhere"],
        ["publish", "nowhere", "hf://me/it"],
        ["evaluate", "nowhere"],
        ["train", "digits-triplet", "--data", "nowhere"],
    ],
)
def test_a_missing_path_is_said_before_keras_is_imported(arguments, capsys, monkeypatch):
    monkeypatch.setattr(commands, "load_keras_quietly", lambda: pytest.fail("Keras is loaded"))
    code, error = failing(arguments, capsys)
    assert code == 1
    assert "There is nothing at nowhere. Expected: " in error
    assert "Received: no such file or folder." in error


def test_list(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == zoo.names()
    assert main(["list", "*omniglot*", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == zoo.names("*omniglot*")


def test_notes_for_programmers_stay_away_and_warnings_do_not(capsys):
    logger, heard = logging.getLogger("tensorflow"), []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    main(["doctor", "digits-triplet"])
    logger.addHandler(handler)
    logger.warning("5 out of the last %d calls triggered tf.function retracing.", 21)
    logger.warning("The disk is full.")
    logger.removeHandler(handler)
    assert heard == ["The disk is full."]


def test_doctor(capsys):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["usable"]
    assert found["devices"]
    assert found["packages"]["keras"]
    assert main(["doctor"]) == 0
    assert f"backend   {found['backend']}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["trian"], 2, ["invalid choice: 'trian'", "Did you mean 'train'?"]),
        (["train"], 2, ["the following arguments are required: WHAT"]),
        (["train", "digits-tripet"], 1, ["Unknown recipe", "Did you mean 'digits-triplet'?"]),
        (
            ["train", "digits-triplet", "--set", "epoch=3"],
            1,
            ["Unknown setting", "Received: 'epoch'", "Did you mean 'epochs'?"],
        ),
        (["train", "digits-triplet", "--set", "epochs"], 1, ["Expected: KEY=VALUE"]),
        (["train", "digits-triplet", "--set", "epochs=0"], 1, ["Expected: 1 or more. Received: 0"]),
        (["train", "digits-triplet", "--sets", "epochs=3"], 2, ["--sets", "Did you mean '--set'"]),
        (["list", "nothing*"], 1, ["No recipe matches", "Received: 'nothing*'"]),
        (
            ["evaluate", "nowhere"],
            1,
            ["nothing at nowhere", "Expected: the folder of a run"],
        ),
        (["export", "nowhere"], 1, ["nothing at nowhere", "or a .keras file"]),
    ],
)
def test_errors_help(arguments, code, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    received, error = failing(arguments, capsys)
    assert received == code
    for word in words:
        assert word in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []

"""The README tells the truth: its code runs, its commands and files exist."""

import re
from pathlib import Path

import pytest

import zoo
from zoo.cli import parser
from zoo.commands.evaluate import PROTOCOLS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.tensorflow
def test_the_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)
    recall, signatures = re.findall(r"^(?:\d\.\d+|\{.*)$", capsys.readouterr().out, re.MULTILINE)
    assert float(recall) > 0.9
    assert "serving_default" in signatures


def test_the_commands_are_understood():
    lines = re.findall(r"^    keras-metric (.*)$", README, re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        words = line.partition(" #")[0].split()
        options = parser().parse_args(words)
        for what in getattr(options, "what", ()):
            assert what in zoo.names() or "/" in what


def test_linked_files_exist():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert not [link for link in links if not (ROOT / link).exists()]


def test_recipes_named_in_the_readme_exist():
    named = set(re.findall(r"\b((?:digits|omniglot)-[a-z0-9-]+)\b", README))
    assert named <= {*zoo.names(), *PROTOCOLS}

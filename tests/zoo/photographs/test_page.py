"""The page "Your photographs": its pictures are drawn and its commands run, as they stand there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.cli import main, parser

PAGE = (Path(__file__).parents[3] / "docs" / "your-photographs.md").read_text(encoding="utf-8")
EXAMPLE = PAGE.partition("## Without photographs")[2]


@pytest.mark.slow
def test_the_example_is_followed_word_by_word(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", EXAMPLE, re.DOTALL)
    exec(compile(block, "your-photographs.md", "exec"), {})
    assert len(list(Path("signs").rglob("*.png"))) == 160
    lines = re.findall(r"^    keras-metric (.*)$", EXAMPLE, re.MULTILINE)
    commands = [shlex.split(line) for line in lines]
    assert [words[0] for words in commands] == ["train", "search", "index", "search", "serve"]
    for words in commands[:-1]:
        assert main(words) == 0
    assert "asked.png: key" in capsys.readouterr().out
    with Image.open("neighbors.png") as drawn:
        assert np.asarray(drawn).std() > 10
    options = parser().parse_args(commands[-1])
    assert Path(options.path, "1", "saved_model.pb").is_file()


def test_the_other_commands_are_understood():
    for line in re.findall(r"`(keras-metric [^`]*)`", PAGE):
        parser().parse_args(shlex.split(line)[1:])

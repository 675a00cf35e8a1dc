"""Errors have one form: what is wrong. Expected: ... Received: ..."""

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.tensorflow  # the text of the files, on one backend
ROOT = Path(__file__).resolve().parents[1]
FILES = [file for room in ("keras_metric", "zoo") for file in sorted((ROOT / room).rglob("*.py"))]


def texts(node):
    """The text of every literal below a node, with {} for what is filled in."""
    for part in ast.walk(node):
        if isinstance(part, ast.JoinedStr):
            yield "".join(
                one.value if isinstance(one, ast.Constant) else "{}" for one in part.values
            )
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def test_errors_say_expected_and_received_with_a_colon():
    other = [
        f"{file.relative_to(ROOT)}: {text[:70]}"
        for file in FILES
        for text in texts(ast.parse(file.read_text()))
        if re.search(r"(^|[.!?] )(Expected|Received) |Expected: (one|some) of: ", text)
    ]
    assert not other


def test_whoever_says_what_was_expected_says_what_was_received():
    """But for lines that others put together, each with its own reason."""
    lonely = []
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                text = " ".join(texts(node.exc))
                if "Expected:" in text and "Received:" not in text:
                    lonely.append(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert not lonely

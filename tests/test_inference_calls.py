"""A model is called for inference or for training, and the call says which.

Layers of augmentation change images unless they are told that this is inference.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted([*(ROOT / "keras_metric").rglob("*.py"), *(ROOT / "zoo").rglob("*.py")])
MODELS = {"model", "fcn", "encoder", "original", "stateless_call"}
SYMBOLIC = {  # builds a graph, which is run by fit and by predict
    "keras_metric/convert/graph/trace.py": 1,
    "zoo/encoders/ensemble.py": 1,
    "zoo/encoders/hub_presets.py": 1,
    "zoo/encoders/ink_frame.py": 1,
    "zoo/pretrained/__init__.py": 1,
}


def silent_calls(source: str) -> list[int]:
    """Lines that call a model and do not say `training=`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func
            name = getattr(called, "attr", None) or getattr(called, "id", None)
            if name in MODELS and not any(k.arg in ("training", None) for k in node.keywords):
                found.append(node.lineno)
    return found


def test_every_call_of_a_model_says_whether_it_trains():
    found = {str(p.relative_to(ROOT)): silent_calls(p.read_text("utf-8")) for p in FILES}
    silent = {path: lines for path, lines in found.items() if len(lines) > SYMBOLIC.get(path, 0)}
    assert not silent


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("model(x)", [1]),
        ("y = self.encoder(x)\nfcn(x, training=False)", [1]),
        ("model.predict(x)\nmodel(x, training=True)", []),
        ("fcn.stateless_call(*v, x)", [1]),
    ],
)
def test_silent_calls_are_seen(source, lines):
    assert silent_calls(source) == lines

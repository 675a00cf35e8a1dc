"""Imports go down only, and backends are met in few rooms."""

import ast
import importlib
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "keras_metric"

FLOORS = {
    "version": -1,
    "numerics": -2,
    "arguments": -1,
    "image_files": -2,
    "labels": -1,
    "saved_classes": -1,
    "boxes": 0,
    "distances": 0,
    "pairs": 0,
    "pooling": 0,
    "preprocessing": -1,
    "batches": 0,
    "miners": 1,
    "metrics": 1,
    "diagnostics": 1,
    "convert": 1,
    "cam": 1,
    "plots": 1,
    "location": 2,
    "retrieval": 2,
    "losses": 2,
    "heads": 3,
    "memory": 3,
    "models": 3,
    "compat": 3,
    "export": 4,
    "serve": 5,
}
INDEPENDENT = {"losses", "convert", "cam"}
BACKENDS = {"tensorflow", "jax", "torch"}
MEET_A_BACKEND = {
    "cam/network/gradients.py",
    "numerics",
    "memory",
    "batches",
    "export",
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Full names of all modules a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = absolute(path, node)
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = ["keras_metric", *path.relative_to(PACKAGE).parts[: -node.level]]
    return ".".join([*package, *filter(None, [node.module])])


def rooms_imported(path: Path) -> set[str]:
    parts = [name.split(".") for name in imported(path)]
    names = {part[1] for part in parts if part[0] == "keras_metric" and len(part) > 1}
    return (names & FLOORS.keys()) - {room(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    here = room(path)
    if here == "__init__":
        return
    assert here in FLOORS, f"{here} has no floor: give it one in FLOORS"
    above = {name for name in rooms_imported(path) if FLOORS[name] >= FLOORS[here]}
    assert not above, f"{here} (floor {FLOORS[here]}) imports {above}, which are not below it"
    if here in INDEPENDENT:
        assert not rooms_imported(path) & INDEPENDENT


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_backends_are_met_in_few_rooms(path):
    met = {name.split(".")[0] for name in imported(path)} & BACKENDS
    allowed = {room(path), str(path.relative_to(PACKAGE))} & MEET_A_BACKEND
    assert not met or allowed, f"{path} imports {met}"


def test_the_package_never_imports_the_zoo():
    assert not [path for path in FILES if any(n.split(".")[0] == "zoo" for n in imported(path))]


def test_imports_are_seen_inside_functions(tmp_path):
    file = tmp_path / "leaf.py"
    file.write_text("def f():\n    from keras_metric import losses\n    import torch.nn\n")
    assert {"keras_metric.losses", "torch.nn"} <= imported(file)


ZOO = sorted((PACKAGE.parent / "zoo").rglob("*.py"))


def names_taken(path: Path) -> list[tuple[str, str]]:
    """The (room, name) pairs that a file imports from keras_metric, at its top or in a function."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_metric"):
            found += [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
    return [pair for pair in found if pair[0].split(".")[0] == "keras_metric"]


@pytest.mark.parametrize("path", ZOO, ids=lambda path: str(path.relative_to(PACKAGE.parent)))
def test_the_zoo_imports_public_names_only(path):
    for room_, name in names_taken(path):
        assert room_.count(".") <= 1, f"{path} imports from inside {room_}"
        public = importlib.import_module(room_).__all__
        assert not name or name in public, f"{path} imports {name}, not in {room_}.__all__"


def test_the_table_of_contributing_is_the_tested_one():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [
        line.strip("|").split("|") for line in text.splitlines() if re.match(r"\| -?\d+ \|", line)
    ]
    told = {name: int(floor) for floor, rooms in rows for name in re.findall(r"`(\w+)`", rooms)}
    assert told == FLOORS

"""Break lines of the code, drawn at random, and see whether a test goes red.

    python tests/mutation.py --seed 1 --count 20

A statement of keras_metric or zoo is drawn, and one thing in it is broken: a comparison, a sign, a
number, an `and`, a condition, or the statement itself is left out. The tests of its room run in a
copy of the checkout; a line that stays green is either equal to the old one or a missing test. The
checkout itself is left alone.
"""

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPARED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
STATEMENTS = (ast.Assign, ast.AugAssign, ast.Expr, ast.If, ast.Raise, ast.Return)


def broken_forms(node: ast.stmt) -> list[ast.stmt]:
    """Every way to break the statement or an expression of it; of a block its condition only.

    Texts of messages and `strict=` are left alone: no answer depends on them.
    """
    forms = []
    inner = [node] if not isinstance(node, ast.If) else [node.test]
    parts = [part for top in inner for part in ast.walk(top)]
    messages = [part for part in parts if isinstance(part, ast.JoinedStr) or _is_strict(part)]
    silent = [n for n, x in enumerate(parts) if any(x in ast.walk(said) for said in messages)]
    for place in range(len(parts)):
        changed = copy.deepcopy(node)
        tops = [changed] if not isinstance(changed, ast.If) else [changed.test]
        part = [part for top in tops for part in ast.walk(top)][place]
        if _break(part) and place not in silent:
            forms.append(changed)
    if isinstance(node, ast.If):
        changed = copy.deepcopy(node)
        changed.test = ast.UnaryOp(ast.Not(), changed.test)
        forms.append(changed)
    if isinstance(node, (ast.AugAssign, ast.Raise)) or _is_call(node):
        forms.append(ast.Pass())
    return forms


def _is_strict(part: ast.AST) -> bool:
    return isinstance(part, ast.keyword) and part.arg == "strict"


def _is_call(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def _break(part: ast.AST) -> bool:
    if isinstance(part, ast.Compare) and type(part.ops[0]) in COMPARED:
        part.ops[0] = COMPARED[type(part.ops[0])]()
    elif isinstance(part, (ast.BinOp, ast.AugAssign)) and type(part.op) in COMPUTED:
        part.op = COMPUTED[type(part.op)]()
    elif isinstance(part, ast.Constant) and type(part.value) in (int, float):
        part.value += 1
    elif isinstance(part, ast.Constant) and type(part.value) is bool:
        part.value = not part.value
    elif isinstance(part, ast.BoolOp):
        part.op = ast.Or() if isinstance(part.op, ast.And) else ast.And()
    else:
        return False
    return True


@cache
def statements() -> list[tuple[Path, ast.stmt]]:
    """Every statement of the two packages that may be broken, with its file."""
    found = []
    for package in ("keras_metric", "zoo"):
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [(path, node) for node in ast.walk(tree) if isinstance(node, STATEMENTS)]
    return found


def draw(rng: random.Random) -> tuple[Path, ast.stmt, ast.stmt]:
    """A file, a statement of it, and the broken one; files in proportion to their statements."""
    while True:
        path, node = rng.choice(statements())
        forms = broken_forms(node)
        if forms:
            return path, node, rng.choice(forms)


def rewritten(path: Path, node: ast.stmt, broken: ast.stmt) -> str:
    """The text of the file with the statement replaced; of a block only its first line's test."""
    lines = path.read_text(encoding="utf-8").splitlines()
    indent = " " * node.col_offset
    if isinstance(node, ast.If):
        last = node.test.end_lineno
        head = lines[node.lineno - 1].lstrip().split()[0]  # `if` or `elif`
        text = [f"{indent}{head} {ast.unparse(broken.test)}:"]
        after = lines[last - 1][node.test.end_col_offset :]
        while not after.lstrip(" )").startswith(":"):
            after = lines[last]
            last += 1
        inline = after.partition(":")[2].strip()
        text += [f"{indent}    {inline}"] if inline and not inline.startswith("#") else []
    else:
        last, text = node.end_lineno, [indent + line for line in ast.unparse(broken).splitlines()]
    return "\n".join([*lines[: node.lineno - 1], *text, *lines[last:], ""])


def tests_of(path: Path) -> list[str]:
    """The tests of a file's room: the folder that mirrors it, else files that name it."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[:2] == ("zoo", "recipes"):
        name = parts[2].strip("_").replace("_", "-")
        return ["tests/zoo/test_every_recipe.py", "-k", name if name != "maps" else "cam"]
    folder = ROOT / "tests"
    if parts[:2] == ("zoo", "commands") and parts[2][0] != "_":
        call = f'["{parts[2].replace("_", "-")}"'  # main(["NAME", ...])
        called = [x for x in sorted(folder.rglob("test_*.py")) if call in x.read_text("utf-8")]
        return [str(x.relative_to(ROOT)) for x in called]
    parts = parts[1:] if parts[0] == "keras_metric" else parts
    for depth in range(len(parts), 0, -1):
        place = folder.joinpath(*parts[:depth])
        if place.is_dir() and place != folder / "zoo":
            break
        file = place.with_name(f"test_{place.name}.py")
        if file.is_file():
            place = file
            break
    else:
        place = None
    named = [x for x in sorted(folder.rglob("test_*.py")) if _names(x, parts)]
    chosen = [place, *named] if place else named
    chosen = [x for x in dict.fromkeys(chosen) if not any(p in chosen for p in x.parents)]
    return [str(x.relative_to(ROOT)) for x in chosen] or ["tests/zoo/test_every_recipe.py"]


def _names(test: Path, parts: tuple[str, ...]) -> bool:
    text = test.read_text(encoding="utf-8")
    return f"{'.'.join(parts)} " in text or f".{'.'.join(parts[:-1])} import {parts[-1]}" in text


def whole_room(path: Path) -> list[str]:
    """All tests of the floor's room, for what the nearest ones let pass."""
    package, room = path.relative_to(ROOT).parts[:2]
    folder = f"tests/{room}" if package == "keras_metric" else f"tests/zoo/{room}"
    return [folder] if (ROOT / folder).is_dir() else []


def verdict_of(copied: Path, path: Path, text: str, tests: list[str], seconds: float):
    """(red, green or the time is up; the first failure; seconds) of the tests.

    A test that fails without the broken line, too, says nothing of it and is left out.
    """
    target = copied / path.relative_to(ROOT)
    whole = target.read_text(encoding="utf-8")
    started, left_out = time.time(), []
    while True:
        target.write_text(text, encoding="utf-8")
        try:
            verdict, told = run(copied, [*tests, *left_out], seconds)
        finally:
            target.write_text(whole, encoding="utf-8")
        if not told or run(copied, [told], seconds)[0] != "red":
            return verdict, told, time.time() - started
        left_out += ["--deselect", told]


def run(copied: Path, tests: list[str], seconds: float) -> tuple[str, str]:
    """red, green or the time is up, and the first test that failed."""
    python = [sys.executable, "-I", "-S", str(ROOT / "tests" / "warm_python.py")]
    command = [*python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, "-m", "not slow", *tests],
            cwd=copied,
            env={**os.environ, "PYTHONPATH": str(copied)},
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return "time is up", ""
    failed = [x for x in done.stdout.splitlines() if x.startswith(("FAILED ", "ERROR "))]
    told = (failed or [" "])[0].partition(" ")[2].partition(" - ")[0]
    return ("red" if done.returncode else "green"), told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--only", type=int, nargs="*", help="the numbers of the lines to try")
    parser.add_argument("--seconds", type=float, default=600, help="the most that one may take")
    parser.add_argument("--show", action="store_true", help="show the lines and run nothing")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    drawn = [draw(rng) for _ in range(arguments.count)]
    with tempfile.TemporaryDirectory(suffix=f"-{os.getpid()}") as folder:
        os.environ["KERAS_METRIC_WARM_PYTHON"] = folder
        copied = Path(folder) / "checkout"
        ignored = shutil.ignore_patterns(".*", "out", "build", "site", "__pycache__")
        shutil.copytree(ROOT, copied, ignore=ignored)
        for number, (path, node, broken) in enumerate(drawn):
            if arguments.only is not None and number not in arguments.only:
                continue
            old, new = (ast.unparse(x).splitlines()[0] for x in (node, broken))
            print(f"{number} {path.relative_to(ROOT)}:{node.lineno}\n  - {old}\n  + {new}")
            if arguments.show:
                print("  ", *tests_of(path))
                continue
            text = rewritten(path, node, broken)
            ast.parse(text)
            tests, room = tests_of(path), whole_room(path)
            verdict, told, seconds = verdict_of(copied, path, text, tests, arguments.seconds)
            if verdict == "green" and room and room != tests:
                verdict, told, seconds = verdict_of(copied, path, text, room, arguments.seconds)
            print(f"  {verdict} {told} ({seconds:.0f} s)", flush=True)


if __name__ == "__main__":
    main()

"""Build the site: `python docs/build.py`, or `make docs`; it ends in `site/index.html`.

The pages are those of `docs`, the README, the cards of `docs/cards`, a table of all recipes, and
an API reference made from the docstrings. A warning, such as a link to nowhere, is an error.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "build" / "docs"
OF_ONE = """    options:
      show_root_heading: true
      show_root_full_path: false
      show_root_toc_entry: true"""
sys.path.insert(0, str(ROOT))

FROM_ROOT = {
    "README.md": "start.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}


def assemble(pages: Path = PAGES) -> None:
    """Write every page of the site as Markdown."""
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(ROOT / "docs", pages, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for page in pages.glob("*.md"):
        page.write_text(_relinked(page.read_text("utf-8"), r"\.\./"), "utf-8")
    for source, target in FROM_ROOT.items():
        (pages / target).write_text(_relinked((ROOT / source).read_text("utf-8"), ""), "utf-8")
    (pages / "api").mkdir()
    for room in rooms():
        (pages / "api" / f"{room}.md").write_text(reference(room), "utf-8")
    (pages / "recipes.md").write_text(recipes(), "utf-8")


def build() -> int:
    """Turn the pages into a site; 1 if there is a warning, also from the reader of docstrings."""
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.STDOUT, stdout=subprocess.PIPE)
    output = done.stdout.decode("utf-8", "replace")
    print(output, end="")
    return int(done.returncode != 0 or "griffe:" in output)


def rooms() -> list[str]:
    """The modules that the site documents, as its navigation lists them."""
    site = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]
    reference = next(entry["API"] for entry in site["nav"] if "API" in entry)
    return [Path(page).stem for page in reference]


def reference(room: str) -> str:
    """The page of a room: its docstring, then each of its public functions and classes."""
    module = import_module(room)
    blocks = [f"# {room}", f"::: {room}\n    options:\n      members: false"]
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", 0) == room]
    for name in getattr(module, "__all__", [name for name in own if name[0] != "_"]):
        home = getattr(getattr(module, name), "__module__", None)
        if home and hasattr(sys.modules[home], name):
            blocks.append(f"::: {home}.{name}\n{OF_ONE}")
    return "\n\n".join(blocks) + "\n"


def recipes() -> str:
    """A page with a row for each recipe: what it does and what its card measured."""
    import zoo
    from zoo.recipe import summary

    rows = ["# Recipes", "", "`keras-metric train NAME` repeats a row.", ""]
    rows += ["| recipe | what | measured | beside it |", "|---|---|---|---|"]
    for name in zoo.names():
        cards = _cards_of(name)
        if not cards:
            rows.append(f"| `{name}` | {summary(name)} | | |")
        rows += [_row(card, summary(name)) for card in cards]
    return "\n".join(rows) + "\n"


def _cards_of(name: str) -> list[Path]:
    """The results of a recipe, and those of its runs with other values."""
    found = sorted((ROOT / "docs" / "cards").glob(f"{name}*.json"))
    return [card for card in found if json.loads(card.read_text("utf-8"))["recipe"] == name]


def _row(card: Path, what: str) -> str:
    report = json.loads(card.read_text("utf-8"))
    measured = "; ".join(f"{k} {_number(v)}" for k, v in report["results"].items())
    beside = "; ".join(
        f"{other}: " + ", ".join(f"{k} {_number(v)}" for k, v in values.items())
        for other, values in report["baselines"].items()
    )
    return f"| [`{card.stem}`](cards/{card.stem}.md) | {what} | {measured} | {beside} |"


def _number(value: Any) -> str:
    if not isinstance(value, dict):
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    mean, least, most = (f"{value[k]:.4g}" for k in ("mean", "min", "max"))
    return mean if least == most else f"{mean} ({least} to {most})"


def _relinked(text: str, up: str) -> str:
    """The links of a page to files of the repository, as links between pages of the site."""
    for source, target in FROM_ROOT.items():
        text = re.sub(rf"\]\({up}{source}", f"]({target}", text)
    return re.sub(r"\]\(docs/", "](", text)


if __name__ == "__main__":
    assemble()
    sys.exit(build())

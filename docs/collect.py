"""Bring the cards, results and pictures of runs of the zoo into the docs.

    python docs/collect.py out/digits-triplet out/bccd-cam ...

Each folder is a run as `keras-metric train` leaves it. `docs/cards` then holds its card, its
results as JSON, and its pictures (of several seeds, those of the first) as WebP of at most 1,200
pixels across. The docstring of the recipe then ends with what it cost and gave. A folder named
NAME-something, NAME being its recipe, keeps that name: so runs of
one recipe with other values have cards of their own. `docs/results.csv` is written anew.
"""

import ast
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from PIL import Image

from zoo.recipe import MEASURED

CARDS = Path(__file__).parent / "cards"
RECIPES = Path(__file__).parent.parent / "zoo" / "recipes"
WIDTH = 1200


def collect(run: Path, target: Path = CARDS) -> Path:
    """Copy what a run shows; returns the path of its card.

    Raises:
        FileNotFoundError: the folder holds no finished run.
    """
    if not (run / "metrics.json").exists():
        raise FileNotFoundError(
            f"No finished run. Expected: a folder with metrics.json. Received: {run}."
        )
    report = _read(run)
    name = _name(run, report["recipe"])
    shown = run / report["runs"][0] if report.get("runs") else run
    target.mkdir(parents=True, exist_ok=True)
    lines = [(run / "README.md").read_text(encoding="utf-8").partition("\n## Pictures")[0].rstrip()]
    lines += ["", "## Pictures", ""]
    for file, caption in _read(shown).get("pictures", {}).items():
        picture = f"{name}-{Path(file).stem}.webp"
        _shrink(shown / "pictures" / file, target / picture)
        lines += [f"![{caption}]({picture})", "", caption, ""]
    report.pop("history", None)
    (target / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    card = target / f"{name}.md"
    card.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    if name == report["recipe"] and target == CARDS:
        note(report)
    return card


def cost_and_result(report: dict[str, Any]) -> str:
    """The paragraph of a recipe's docstring: what its card says it cost, and its first results."""
    training, runs = report["training"], len(report.get("runs", ())) or 1
    epochs = f"{training['epochs']} epochs" if training["epochs"] else "no training"
    cost = f"{runs} seed{'s' if runs > 1 else ''}, {epochs}"
    if training["epochs"]:
        cost += f", {training['seconds'] / 60:.1f} minutes on two cores"
        cost += " in all" if runs > 1 else ""
    found = ", ".join(f"{k} {_shown(v)}" for k, v in list(report["results"].items())[:3])
    return textwrap.fill(f"{MEASURED} {cost}: {found}.", 96, break_on_hyphens=False)


def note(report: dict[str, Any], folder: Path = RECIPES) -> None:
    """Write `cost_and_result` as the last paragraph of the docstring of the report's recipe."""
    file = folder / f"{report['recipe'].replace('-', '_')}.py"
    source = file.read_text(encoding="utf-8")
    lines = source.splitlines()
    end = ast.parse(source).body[0].end_lineno - 1  # the line of its closing quotes
    kept = "\n".join(lines[:end]).partition(f"\n{MEASURED}")[0].rstrip()
    file.write_text("\n".join([kept, "", cost_and_result(report), *lines[end:], ""]), "utf-8")


def _shown(value: Any) -> str:
    if not isinstance(value, dict):
        return f"{value:.4g}"
    mean, least, most = (f"{value[k]:.4g}" for k in ("mean", "min", "max"))
    return mean if least == most else f"{mean} ({least} to {most})"


def _name(run: Path, recipe: str) -> str:
    folder = run.resolve().name
    return folder if folder.startswith(f"{recipe}-") else recipe


def _read(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text(encoding="utf-8"))


def _shrink(source: Path, target: Path) -> None:
    with Image.open(source) as picture:
        picture = picture.convert("RGB")
        picture.thumbnail((WIDTH, picture.height))
        picture.save(target, quality=80, method=6)


if __name__ == "__main__":
    for folder in sys.argv[1:] or sys.exit(__doc__):
        print(collect(Path(folder)))
    import results  # beside this file

    results.FILE.write_text(results.table(), encoding="utf-8")

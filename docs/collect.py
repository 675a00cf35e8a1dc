"""Bring the cards, results and pictures of runs of the zoo into the docs.

    python docs/collect.py out/digits-triplet out/bccd-cam ...

Each folder is a run as `keras-metric train` leaves it. `docs/cards` then holds its card, its
results as JSON, and its pictures (of several seeds, those of the first) as WebP of at most 1,200
pixels across. A folder named NAME-something, NAME being its recipe, keeps that name: so runs of
one recipe with other values have cards of their own.
"""

import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image

CARDS = Path(__file__).parent / "cards"
WIDTH = 1200


def collect(run: Path, target: Path = CARDS) -> Path:
    """Copy what a run shows; returns the path of its card.

    Raises:
        FileNotFoundError: the folder holds no finished run.
    """
    if not (run / "metrics.json").exists():
        raise FileNotFoundError(
            f"No finished run. Expected a folder with metrics.json. Received: {run}."
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
    return card


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

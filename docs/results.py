"""Write docs/results.csv: what every recipe and trained model was measured to be worth.

    python docs/results.py

One row for each result of a card: of a recipe (docs/cards), whose `mean`, `min` and `max` are over
its seeds, or of a trained model (zoo/pretrained/models), which is one seed.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
MODELS = DOCS.parent / "zoo" / "pretrained" / "models"
FILE = DOCS / "results.csv"
COLUMNS = (
    *("kind", "name", "measure", "mean", "min", "max", "seeds"),
    *("parameters", "epochs", "cpu_seconds", "date", "license", "command"),
)


def table() -> str:
    """The content of the file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rows())
    return text.getvalue()


def _rows() -> Iterator[dict[str, Any]]:
    found = [("recipe", file.stem, file) for file in sorted((DOCS / "cards").glob("*.json"))]
    places = sorted(MODELS.glob("*/metrics.json"))
    found += [("trained model", file.parent.name, file) for file in places]
    for kind, name, file in found:
        report = json.loads(file.read_text(encoding="utf-8"))
        for measure, value in report["results"].items():
            yield {"kind": kind, "name": name, "measure": measure, **_of(value), **_facts(report)}


def _of(value: Any) -> dict[str, float]:
    if isinstance(value, dict):
        return {key: value[key] for key in ("mean", "min", "max")}
    return dict.fromkeys(("mean", "min", "max"), value)


def _facts(report: dict[str, Any]) -> dict[str, Any]:
    training = report["training"]
    return {
        "seeds": len(report.get("runs", ())) or 1,
        "parameters": report["parameters"],
        "epochs": training["epochs"],
        "cpu_seconds": training.get("cpu_seconds"),
        "date": training["date"],
        "license": report["data"]["license"],
        "command": report["command"],
    }


if __name__ == "__main__":
    FILE.write_text(table(), encoding="utf-8")
    print(FILE)

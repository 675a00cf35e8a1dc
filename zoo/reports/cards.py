"""The model card, written from the results of a run."""

from typing import Any

from zoo.recipe import Recipe
from zoo.reports.metadata import front_matter


def card(recipe: Recipe, report: dict[str, Any]) -> str:
    """The Markdown text of a run's `README.md`."""
    about, _, rest = recipe.about.partition("\n")
    seeds = len(report.get("runs", ()))
    lines = [
        *front_matter(recipe, report),
        f"# {recipe.name}",
        "",
        about,
        *rest.splitlines(),
        "",
        "## Results",
        "",
        *(line for note in report.get("notes", ()) for line in (f"**{note}**", "")),
        *([f"Mean and range of {seeds} runs, seeds 0 to {seeds - 1}.", ""] if seeds else []),
        *results_table(report),
        "",
        recipe.protocol,
        "",
        *_further(report.get("tables", {})),
        "## How it was made",
        "",
        f"    {report['command']}",
        "",
        f"- Trained on: {report['data']['train']}",
        f"- Measured on: {report['data']['test']}",
        f"- License of the data: {report['data']['license']}",
        f"- {report['training']['epochs']} epochs, {_taken(report['training'])}"
        + (" for all runs together" if seeds else "")
        + f"; {report['parameters']:,} parameters; {report['training']['date']}",
        *([f"- Images: {report['preprocessing']}"] if report.get("preprocessing") else []),
        "- Settings: " + ", ".join(f"{k} {v}" for k, v in report["settings"].items()),
        "- Versions: " + ", ".join(f"{k} {v}" for k, v in report["training"]["versions"].items()),
        "",
        "## Intended use and limits",
        "",
        recipe.limits,
    ]
    if not seeds:
        lines += ["", "## Pictures", ""]
        for name, caption in report["pictures"].items():
            lines += [f"![{caption}](pictures/{name})", "", caption, ""]
    return "\n".join(lines).rstrip() + "\n"


def _taken(training: dict[str, Any]) -> str:
    """What the training took; runs of before processor time was taken have none of it."""
    taken = f"{training['seconds']:.0f} s"
    if training.get("cpu_seconds"):
        taken += f", {training['cpu_seconds'] / 60:.1f} CPU-minutes"
    return taken


def results_table(report: dict[str, Any]) -> list[str]:
    """A table of the results and of the baselines, one row per measure."""
    columns = {report.get("column", "this model"): report["results"], **report["baselines"]}
    rows = {
        name: {column: values.get(name) for column, values in columns.items()}
        for name in report["results"]
    }
    return table_lines(rows)


def _further(tables: dict[str, dict[str, dict]]) -> list[str]:
    lines = []
    for title, rows in tables.items():
        lines += [f"### {title}", "", *table_lines(rows), ""]
    return lines


def table_lines(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Row -> column -> value as lines of a Markdown table."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for name, row in rows.items():
        cells = (_cell(row.get(column)) for column in columns)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        low, high = _number(value["min"]), _number(value["max"])
        return _number(value["mean"]) + ("" if low == high else f" ({low} to {high})")
    return _number(value)


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if 0 < abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:.4f}" if abs(value) <= 1 else f"{value:.2f}"

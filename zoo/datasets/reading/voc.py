"""Boxes in the XML of Pascal VOC, read as data: nothing in a file is expanded, fetched or run."""

from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

_LARGEST = 2**20  # bytes; an annotation has some thousands
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class Annotation(NamedTuple):
    """What one file says of its image.

    - `height`, `width`: of the image, in pixels.
    - `names`: the kind of each object.
    - `boxes`: `(N, 4)` int64, `(left, top, right, bottom)`, right and bottom excluded. The format
      counts pixels from 1 and includes the last: (xmin - 1, ymin - 1, xmax, ymax).
    """

    height: int
    width: int
    names: tuple[str, ...]
    boxes: np.ndarray


def parse(content: bytes, name: str) -> Annotation:
    """The annotation in the bytes of a file; `name` is for messages.

    Boxes are cut at the border of the image; those less than two pixels wide or high are dropped.

    Raises `ValueError` for what is not UTF-8 XML, is larger than 1 MiB, declares a document type or
    entities, or lacks the size or a corner.
    """
    root = _root(content, name)
    height, width = (_number(root, f"size/{side}", name) for side in ("height", "width"))
    names, boxes = [], []
    for thing in root.iter("object"):
        corners = [_number(thing, f"bndbox/{corner}", name) for corner in _CORNERS]
        left, top = (max(corner - 1, 0) for corner in corners[:2])
        right, bottom = min(corners[2], width), min(corners[3], height)
        if right - left > 1 and bottom - top > 1:
            names.append((thing.findtext("name") or "").strip())
            boxes.append((left, top, right, bottom))
    return Annotation(height, width, tuple(names), np.array(boxes, np.int64).reshape(-1, 4))


def _root(content: bytes, name: str) -> ElementTree.Element:
    """The root element; whatever could expand or fetch is refused before it is parsed."""
    try:
        text = content[: _LARGEST + 1].decode("utf-8-sig")
        if len(content) > _LARGEST or "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise ValueError(f"{len(content):,} bytes, or a document type or entities of its own")
        root = ElementTree.fromstring(text)
        if root.tag != "annotation":
            raise ValueError(f"the root <{root.tag}>")
    except (ValueError, ElementTree.ParseError) as error:
        raise ValueError(
            f"The annotation {name} cannot be read. Expected: Pascal VOC: UTF-8 XML of at most "
            f"{_LARGEST:,} bytes, with the root <annotation> and without a document type. "
            f"Received: {error}."
        ) from error
    return root


def _number(element: ElementTree.Element, path: str, name: str) -> int:
    text = element.findtext(path)
    try:
        return round(float(text or ""))
    except (ValueError, OverflowError):
        raise ValueError(
            f"The annotation {name} lacks a number. Expected: <{path}> in pixels. "
            f"Received: {text!r}."
        ) from None

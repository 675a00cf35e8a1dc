"""The pictures of a folder one by one: unreadable ones are skipped, complete ones are kept.

A PNG stores a digest of its model, options and image. After an interruption the same command
recognizes its pictures, and does not reuse those made with other settings.
"""

import hashlib
import json
from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEY = "keras-metric"
LONGEST = 900_000  # characters; Pillow reads no more than 2**20


@dataclass(frozen=True)
class Drawn:
    """One picture and what was found in its image; `kept` if it was there already."""

    source: Path
    target: Path | None
    picture: bytes
    content: dict[str, Any]
    kept: bool


def drawn(
    pairs: Iterable[tuple[Path, Path | None]],
    read: Callable[[Path], Any],
    draw: Callable[[Any, Path, Path | None], tuple[Any, dict]],
    made_of: str,
    beside: tuple[str, ...] = (),
) -> tuple[list[Drawn], list[dict[str, str]]]:
    """The pictures of (image, place) pairs and, of the images that cannot be read, the reasons.

    Args:
        read: the pixels of an image file; `ValueError` for one that is not an image.
        draw: `(pixels, image, place) -> picture, content`; writes the `beside` files itself.
        made_of: what all pictures depend on, see `ingredients`.
        beside: suffixes of files that belong to each picture.

    Raises:
        ValueError: none can be read.
    """
    found, skipped = [], []
    for source, target in pairs:
        mark = _digest(made_of.encode(), source)
        before = _whole(target, mark, beside)
        if before is not None:
            found.append(Drawn(source, target, target.read_bytes(), before, kept=True))
            continue
        try:
            pixels = read(source)
        except ValueError as error:
            skipped.append({"image": str(source), "reason": str(error)})
            continue
        picture, content = draw(pixels, source, target)
        found.append(Drawn(source, target, _save(picture, content, mark, target), content, False))
    if not found:
        raise ValueError(
            f"No image could be read. Expected: at least one. Received: {skipped[0]['reason']}"
        )
    return found, skipped


def ingredients(model, options: Namespace, apart: tuple[str, ...]) -> str:
    """A digest of the model and of all options but those that change no picture."""
    from keras_metric.retrieval import fingerprint

    chosen = {k: v for k, v in vars(options).items() if k not in ("command", "json", *apart)}
    asked = json.dumps(chosen, sort_keys=True, default=str)
    made_of = "\n".join([asked, model.to_json(), fingerprint(model)])
    return hashlib.sha256(made_of.encode()).hexdigest()


def _digest(start: bytes, file: Path) -> str:
    digest = hashlib.sha256(start)
    with file.open("rb") as stream:
        while part := stream.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def _save(picture, content: dict, mark: str, target: Path | None) -> bytes:
    from keras_metric.plots import png
    from zoo.files import write

    note = json.dumps({"made_of": mark, "content": content})
    data = png(picture, text={KEY: note} if len(note) < LONGEST else None)
    if target is not None:
        write(target, lambda path: path.write_bytes(data))
    return data


def _whole(target: Path | None, mark: str, beside: tuple[str, ...]) -> dict | None:
    """What a picture made of the same says of itself; None where there is none."""
    from PIL import Image

    if target is None or not all(target.with_suffix(s).exists() for s in ("", *beside) if s):
        return None
    try:
        with Image.open(target) as image:
            note = json.loads(image.info[KEY])
            return note["content"] if note["made_of"] == mark else None
    except (OSError, ValueError, KeyError, TypeError, SyntaxError):  # none, or not one of ours
        return None

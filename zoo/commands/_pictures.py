"""Which pictures a command reads, their size, and where it writes its results."""

from argparse import ArgumentParser
from pathlib import Path

from keras_metric.image_files import INTERPOLATIONS, RESIZES
from keras_metric.image_files import SUFFIXES as IMAGES

SKIPPED = 3


def add_resizing(parser: ArgumentParser) -> None:
    """How pictures are brought to the size of the model, where it is not as the model says."""
    parser.add_argument(
        "--resize",
        choices=RESIZES,
        help="how pictures get the size of the model (default: as the model says, else stretch)",
    )
    parser.add_argument(
        "--fill",
        type=int,
        metavar="N",
        help="gray value of margins and transparent parts (default: as the model says, else 0)",
    )
    parser.add_argument(
        "--interpolation",
        choices=INTERPOLATIONS,
        help="between pixels (default: as the model says, else bilinear)",
    )


def sources(path: Path, suffixes: tuple[str, ...] = IMAGES) -> list[Path]:
    """The image named, or those of the folder named."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path] if path.is_file() else []
    images = [file for file in files if not path.is_dir() or file.suffix.lower() in suffixes]
    if not images:
        raise ValueError(
            "There are no pictures. Expected: an image, or a folder with "
            f"{', '.join(suffixes)}. Received: {path}."
        )
    return images


def targets(path: Path, images: list[Path], out: Path) -> list[Path]:
    """A .png file for each image: the one named, or in a folder laid out as that of the images."""
    if not path.is_dir() and out.suffix != ".png":
        raise ValueError(
            "The output path is not valid. Expected: -o with a .png file (for a folder of "
            f"images, a folder). Received: {out}."
        )
    found = [out]
    if path.is_dir():
        found = [out / file.relative_to(path).with_suffix(".png") for file in images]
    places = {target.resolve() for target in found}
    if len(places) < len(found) or {file.resolve() for file in images} & places:
        raise ValueError(
            "Pictures need files of their own. Expected: a place apart from the images, and image "
            f"names that differ before the suffix. Received: {path} and {out}."
        )
    return found


def height_and_width(text: str | None, option: str) -> tuple[int, int] | None:
    """`28x28` as numbers; None for None."""
    found = sides(text, option, "height x width, such as 28x28")
    if found is None:
        return None
    if len(found) != 2:
        raise ValueError(
            f"{option} is not a size. Expected: height x width, such as 28x28. Received: {text!r}."
        )
    return found[0], found[1]


def sides(text: str | None, option: str, expected: str) -> tuple[int, ...] | None:
    """`64`, `28x28` or `16x28x28` as numbers; None for None."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 3 or not all(part.isdecimal() and int(part) for part in parts):
        raise ValueError(f"{option} is not a size. Expected: {expected}. Received: {text!r}.")
    return tuple(map(int, parts))

"""find classes in large images with a converted network

Takes an image of any size, or a folder of images. An image whose maps need more memory than allowed
is cut into tiles that overlap by a cell's receptive field: the result equals that of the whole
image, and the cells at each seam are computed twice to check it. The picture shows a heat map of
the best score of the requested classes, and boxes where it reaches the threshold.

MODEL can also be the folder of a run, or the name of a trained model (`keras-metric list
--trained`) or backbone, such as efficientnet_lite0_imagenet; a classifier is converted first.

A .npy array (H, W, C) is read tile by tile and can be larger than memory. Pictures that the same
command has written before are kept, so after an interruption it resumes.

examples:
  keras-metric scan fcn.keras photo.jpg -o scan.png
  keras-metric scan fcn.keras photo.jpg -o scan.png --class 3 --threshold 0.9 --boxes
  keras-metric scan fcn.keras scene.png -o scan.png --without 10 --single
  keras-metric scan fcn.keras scenes/ -o scans/ --tile 1024
  keras-metric scan digits-fcn scene.png -o scan.png --without 10 --single

exit codes: 0 all images scanned, 3 some could not be read and were skipped (they are listed), 1
no image could be read
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from zoo.commands import Answer
from zoo.commands._folder import Drawn, drawn, ingredients
from zoo.commands._models import converted
from zoo.commands._pictures import IMAGES, SKIPPED, height_and_width, sources, targets


def arguments(parser: ArgumentParser) -> None:
    number = {"type": int, "action": "append", "default": [], "metavar": "N"}
    parser.add_argument(
        "model", metavar="MODEL", help="a network made by `keras-metric convert`, or a name"
    )
    parser.add_argument("path", metavar="IMAGE", help="an image, or a folder of images")
    parser.add_argument("-o", "--out", required=True, help="the PNG to write, or a folder")
    parser.add_argument(
        "--class",
        dest="classes",
        help="a class to search for; may be repeated (default: all)",
        **number,
    )
    parser.add_argument(
        "--without", help="a class to exclude, such as a background; may be repeated", **number
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        metavar="T",
        help="minimum box score (default: 0.5)",
    )
    parser.add_argument(
        "--overlap",
        type=float,
        default=0.5,
        metavar="IOU",
        help="of two boxes that overlap by more, the better is kept (default: 0.5)",
    )
    parser.add_argument(
        "--single", action="store_true", help="non-maximum suppression across classes"
    )
    parser.add_argument("--boxes", action="store_true", help="also write the boxes as .json")
    parser.add_argument(
        "--tile", type=int, metavar="PIXELS", help="side of a tile (default: what --memory allows)"
    )
    parser.add_argument(
        "--memory", type=float, default=1024, metavar="MIB", help="memory for maps (default: 1024)"
    )
    parser.add_argument(
        "--window",
        metavar="HxW",
        help="training size, for a network that does not store it, such as 28x28",
    )
    parser.add_argument(
        "--side", type=int, default=2048, help="longest side of the picture (default: 2048)"
    )


def run(options: Namespace) -> Answer:
    from zoo.files import write_json
    from zoo.inference.scanning import ScanPictures

    path, out = Path(options.path), Path(options.out)
    window = height_and_width(options.window, "--window")
    images = sources(path, (*IMAGES, ".npy"))
    places = targets(path, images, out)
    beside = (".json",) if options.boxes else ()
    _check_boxes([place.with_suffix(suffix) for place in places for suffix in beside])
    pictures = ScanPictures(
        converted(options.model, window),
        classes=tuple(options.classes),
        without=tuple(options.without),
        threshold=options.threshold,
        overlap=options.overlap,
        single=options.single,
        tile=options.tile,
        memory=options.memory * 2**20,
        window=window,
        side=options.side,
    )

    def draw(pixels, source: Path, target: Path):
        seen = pictures(pixels, source.name)
        if options.boxes:
            write_json(target.with_suffix(".json"), seen.content())
        return pictures.picture(pixels, seen), {"text": str(seen), **seen.content()}

    made_of = ingredients(pictures.fcn, options, ("model", "path", "out", "memory")) + " xyxy"
    pairs = zip(images, places, strict=True)
    found, skipped = drawn(pairs, pictures.read, draw, made_of, beside)
    return _answer(found, skipped, beside)


def _check_boxes(files: list[Path]) -> None:
    """Refuse to overwrite a JSON file that is not the boxes of an earlier scan."""
    from zoo.files import read_json

    for file in files:
        if not file.exists():
            continue
        content = read_json(file)
        if not isinstance(content, dict) or not {"detections", "cells"} <= set(content):
            raise ValueError(
                "The boxes cannot be written: the file exists and does not contain boxes. "
                f"Expected: no file, or one that --boxes wrote. Received: {file}."
            )


def _answer(found: list[Drawn], skipped: list[dict], beside: tuple[str, ...]) -> Answer:
    scans, lines = [], []
    for one in found:
        content = dict(one.content)
        files = [one.target, *(one.target.with_suffix(suffix) for suffix in beside)]
        kept = " (kept: scanned before)" if one.kept else ""
        lines.append(f"{', '.join(map(str, files))}{kept}: {content.pop('text')}")
        scans.append({"image": str(one.source), "picture": str(one.target), **content})
    lines += [f"skipped {one['image']}: {one['reason']}" for one in skipped]
    return Answer({"scans": scans, "skipped": skipped}, "\n".join(lines), SKIPPED if skipped else 0)

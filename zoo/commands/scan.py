"""find classes in large images with a converted network

Takes an image of any size, or a folder of them. An image whose maps need more memory than allowed
is cut into tiles that overlap by what a cell reads: the result is that of the whole image, and the
cells at each seam are computed twice to prove it. The picture shows the best score of the classes
looked for as heat, and boxes where it reaches the threshold.

A .npy array (H, W, C) is read tile by tile and may be larger than memory.

examples:
  keras-metric scan fcn.keras photo.jpg -o scan.png
  keras-metric scan fcn.keras photo.jpg -o scan.png --class 3 --threshold 0.9 --boxes
  keras-metric scan fcn.keras scene.png -o scan.png --without 10 --single
  keras-metric scan fcn.keras scenes/ -o scans/ --tile 1024

exit codes: 0 all images scanned, 3 some could not be read and were skipped (they are listed), 1
none at all
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from zoo.commands import Answer
from zoo.commands._pictures import IMAGES, SKIPPED, height_and_width, sources, targets


def arguments(parser: ArgumentParser) -> None:
    number = {"type": int, "action": "append", "default": [], "metavar": "N"}
    parser.add_argument("model", metavar="MODEL", help="a network made by `keras-metric convert`")
    parser.add_argument("path", metavar="IMAGE", help="an image, or a folder of images")
    parser.add_argument("-o", "--out", required=True, help="the PNG to write, or a folder")
    parser.add_argument(
        "--class",
        dest="classes",
        help="a class to look for; may be repeated (default: all)",
        **number,
    )
    parser.add_argument(
        "--without", help="a class to leave out, as a background; may be repeated", **number
    )
    parser.add_argument(
        "--threshold", type=float, default=0.5, metavar="T", help="score of a box (default: 0.5)"
    )
    parser.add_argument(
        "--overlap",
        type=float,
        default=0.5,
        metavar="IOU",
        help="of two boxes that overlap by more, the better stays (default: 0.5)",
    )
    parser.add_argument(
        "--single", action="store_true", help="one class for a place: boxes of all classes compete"
    )
    parser.add_argument("--boxes", action="store_true", help="write the boxes as .json beside it")
    parser.add_argument(
        "--tile", type=int, metavar="PIXELS", help="side of a tile (default: what --memory allows)"
    )
    parser.add_argument(
        "--memory", type=float, default=1024, metavar="MIB", help="for maps (default: 1024)"
    )
    parser.add_argument(
        "--window",
        metavar="HxW",
        help="training size, for a network that does not remember it, such as 28x28",
    )
    parser.add_argument(
        "--side", type=int, default=2048, help="longest side of the picture (default: 2048)"
    )


def run(options: Namespace) -> Answer:
    from keras_metric import convert
    from zoo.scanning import ScanPictures

    path, out = Path(options.path), Path(options.out)
    images = sources(path, (*IMAGES, ".npy"))
    places = targets(path, images, out)
    draw = ScanPictures(
        convert.load(options.model),
        classes=tuple(options.classes),
        without=tuple(options.without),
        threshold=options.threshold,
        overlap=options.overlap,
        single=options.single,
        tile=options.tile,
        memory=int(options.memory * 2**20),
        window=height_and_width(options.window, "--window"),
        side=options.side,
    )
    found, skipped, lines = [], [], []
    for source, target in zip(images, places, strict=True):
        try:
            pixels = draw.read(source)
        except ValueError as error:
            if not path.is_dir():
                raise
            skipped.append({"image": str(source), "reason": str(error)})
            continue
        seen = draw(pixels, source.name)
        files = _written(target, draw.picture(pixels, seen), seen.content(), options.boxes)
        found.append({"image": str(source), "picture": str(target), **seen.content()})
        lines.append(f"{', '.join(map(str, files))}: {seen}")
    return _answer(found, skipped, lines)


def _written(target: Path, picture, content: dict, boxes: bool) -> list[Path]:
    from keras_metric.plots import png
    from zoo.files import write, write_json

    files = [write(target, lambda path: path.write_bytes(png(picture)))]
    return [*files, write_json(target.with_suffix(".json"), content)] if boxes else files


def _answer(found: list[dict], skipped: list[dict], lines: list[str]) -> Answer:
    if not found:
        raise ValueError(
            f"No image could be read. Expected one at least. Received: {skipped[0]['reason']}"
        )
    lines += [f"skipped {one['image']}: {one['reason']}" for one in skipped]
    return Answer({"scans": found, "skipped": skipped}, "\n".join(lines), SKIPPED if skipped else 0)

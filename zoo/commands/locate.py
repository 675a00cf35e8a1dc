"""find the object of one picture in a larger picture

EXEMPLAR shows one object and little else, cropped like the training images of the model; it is
searched in SCENE. The model is an embedding network (a run's folder, or a .keras file); it does not
need to know this kind of object, it only needs to have learned similarity. It is converted to a
fully convolutional network and embeds all windows of the scene at once. The score of a window is
the cosine between its embedding and that of the exemplar: 1 is identical, 0 unrelated.

--scales are sizes to search for, relative to the exemplar in pixels: 0.5 finds objects half as
large. The best boxes are reported regardless of their score, unless you give a --threshold. A good
threshold depends on the model: look at the scores of a scene that does not show the object.

The written picture shows the exemplar, the scene with its boxes numbered from the best, and the
score of the window around each pixel.

examples:
  keras-metric locate out/omniglot-locate letter.png page.png -o found.png
  keras-metric locate out/omniglot-locate letter.png page.png -o found.png --threshold 0.7 --top 50
  keras-metric locate encoder.keras cup.jpg kitchen.jpg -o found.png --scales 0.25,0.35,0.5
  keras-metric locate encoder.keras cup.jpg kitchen.jpg -o found.png --json
  keras-metric locate digits-locate digit.png page.png -o found.png
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from zoo.commands import Answer, columns

OVERLAP = 0.3  # of two boxes that overlap by more, the better is kept


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a .keras file, a run, or a name")
    parser.add_argument("exemplar", metavar="EXEMPLAR", help="an image of what to look for")
    parser.add_argument("scene", metavar="SCENE", help="the image to search")
    parser.add_argument("-o", "--out", required=True, metavar="PNG", help="the picture to write")
    parser.add_argument(
        "--scales",
        default="0.8,1,1.25",
        metavar="S[,S...]",
        help="sizes relative to the exemplar (default: 0.8,1,1.25)",
    )
    parser.add_argument("--threshold", type=float, metavar="T", help="minimum score of a box")
    parser.add_argument(
        "--top", type=int, default=10, metavar="N", help="maximum number of boxes (default: 10)"
    )
    parser.add_argument(
        "--densify", type=int, default=1, metavar="N", help="windows N times closer, by dilation"
    )


def run(options: Namespace) -> Answer:
    import zoo
    from keras_metric import Preprocessing
    from keras_metric.location import Locator, check_choice, find, heat
    from keras_metric.plots import png, search
    from keras_metric.preprocessing import attached
    from zoo.datasets.reading.photos import read
    from zoo.files import write

    out, scales = _place(options), _numbers(options.scales)
    check_choice(options.top, OVERLAP, options.threshold)
    model = zoo.load(options.model)
    locator = Locator(model, scales=scales, densify=options.densify)
    made = attached(model) or Preprocessing()
    how = {"fill": made.fill, "turn": made.upright}
    exemplar, scene = (read(x, locator.channels, **how) for x in (options.exemplar, options.scene))
    levels = locator.levels(made.scaled(exemplar), made.scaled(scene))
    found = find(levels, threshold=options.threshold, overlap=OVERLAP, top=options.top)
    picture = search(
        exemplar,
        scene,
        [one.box for one in found],
        [one.score for one in found],
        heat(levels, scene.shape[:2]),
    )
    write(out, lambda path: path.write_bytes(png(picture)))
    content = {
        "exemplar": options.exemplar,
        "scene": options.scene,
        "picture": str(out),
        "found": [one._asdict() for one in found],
    }
    return Answer(content, _table(found, out))


def _table(found, out: Path) -> str:
    rows = [["", "left", "top", "right", "bottom", "score", "scale"]]
    for number, one in enumerate(found, 1):
        sides = [f"{side:.0f}" for side in one.box]
        rows.append([str(number), *sides, f"{one.score:.3f}", f"{one.scale:g}"])
    table = columns(rows) if found else "nothing reaches the threshold"
    return f"{table}\n{out}: the picture"


def _place(options: Namespace) -> Path:
    out = Path(options.out)
    taken = {Path(file).resolve() for file in (options.exemplar, options.scene)}
    if out.suffix != ".png" or out.resolve() in taken:
        raise ValueError(
            "The output path is not valid. Expected: a file that ends in .png and is "
            f"neither exemplar nor scene. Received: {options.out}."
        )
    for file in (options.exemplar, options.scene):
        if not Path(file).is_file():
            raise ValueError(
                f"The image does not exist. Expected: an image file. Received: {file}."
            )
    return out


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            "The scales cannot be read. Expected: numbers with commas between them, such as "
            f"0.5,1,2.  Received: {text!r}."
        ) from None

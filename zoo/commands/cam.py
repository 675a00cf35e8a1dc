"""draw where in an image a model sees a class

Takes an image, or a folder of images (every .jpg, .png, .bmp and .webp below it). The class is the
model's best unless it is given by number, or the best K are requested; for an embedding model it is
a dimension. --target explains something else: a difference of two classes, the negative class of a
sigmoid unit, a class inside a box or a mask (for a model whose output is a map, or a detector), the
similarity to a vector. Boxes are in pixels of the picture as it is drawn. `cam` is exact for a
model that ends with global average pooling and a dense layer; for others an error says so and names
a method that works.

One method and one class give the map over the image; several give a grid, with one row per class
and one column per method. --signed draws evidence against the class in blue. With --report all
pictures are embedded in one HTML file. Pictures that the same command has written before are kept,
so after an interruption it resumes.

examples:
  keras-metric cam classifier.keras photo.jpg -o photo-cam.png
  keras-metric cam classifier.keras photo.jpg -o grid.png --method cam,layercam,scorecam --top 3
  keras-metric cam classifier.keras photos/ --method gradcam -o maps/ --report maps.html
  keras-metric cam classifier.keras photos/ --report maps.html --signed --alpha 0.7
  keras-metric cam bccd-cam blood.jpg -o cells.png --top 3
  keras-metric cam classifier.h5 photo.jpg -o why.png --method hirescam --target difference:3,1
  keras-metric cam segmenter.keras photo.jpg -o why.png --method hirescam --target box:8,4,40,30,2

exit codes: 0 all images drawn, 3 some could not be read and were skipped (they are listed), 1 no
map at all
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from zoo.commands import Answer
from zoo.commands._folder import Drawn, drawn, ingredients
from zoo.commands._pictures import SKIPPED, add_resizing, sources, targets
from zoo.commands._targets import FORMS, fingerprint, parsed


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a .keras or .h5 file, a run, or a name")
    parser.add_argument("path", metavar="IMAGE", help="an image, or a folder of images")
    parser.add_argument("-o", "--out", metavar="PATH", help="the PNG to write, or a folder")
    parser.add_argument("--report", metavar="HTML", help="one HTML file with all pictures in it")
    parser.add_argument(
        "--method",
        default="cam",
        metavar="M[,M...]",
        help="cam, gradcam, saliency, occlusion, ...; several give a grid (default: cam)",
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--class", type=int, dest="number", metavar="N", help="the class to explain, by its number"
    )
    chosen.add_argument("--top", type=int, metavar="K", help="the K best classes of each image")
    chosen.add_argument("--target", metavar="WHAT", help=f"one of: {'; '.join(FORMS)}")
    parser.add_argument("--output", metavar="NAME", help="which of several outputs to explain")
    parser.add_argument("--layer", help="the layer to map (default: the last spatial layer)")
    parser.add_argument(
        "--alpha", type=float, default=0.5, help="opacity of the map, 0 to 1 (default: 0.5)"
    )
    parser.add_argument(
        "--colormap", metavar="NAME", help="of matplotlib (default: jet, or RdBu_r when signed)"
    )
    parser.add_argument(
        "--signed", action="store_true", help="also show evidence against the class"
    )
    add_resizing(parser)


def run(options: Namespace) -> Answer:
    import zoo
    from zoo.progress import shown
    from zoo.reports.drawing import MapPictures
    from zoo.runs.exporting import known_labels

    images = sources(Path(options.path))
    places = _places(Path(options.path), images, options.out, options.report)
    model = zoo.load(options.model)
    options.target_file = fingerprint(options.target)
    output = options.output
    preprocess = zoo.preprocessing(model).with_changes(
        resize=options.resize, fill=options.fill, interpolation=options.interpolation
    )
    maps = MapPictures(
        model,
        options.method.split(","),
        preprocessing=preprocess,
        layer=options.layer,
        classes=_explained_of(options, preprocess),
        output=int(output) if output and output.isdecimal() else output,
        labels=known_labels(options.model, model),
        signed=options.signed,
        alpha=options.alpha,
        cmap=options.colormap,
    )
    root = Path(options.path) if Path(options.path).is_dir() else Path(options.path).parent
    pairs = shown(list(zip(images, places, strict=True)), "maps")
    found, skipped = drawn(
        pairs,
        maps.read,
        lambda pixels, *_: _explained(maps, pixels),
        ingredients(model, options, ("model", "path", "out", "report")),
    )
    if options.report:
        names = [str(one.source.relative_to(root)) for one in found]
        pages = {
            f"{name}: {_described(one.content['classes'])}": one.picture
            for name, one in zip(names, found, strict=True)
        }
        _report(Path(options.report), pages)
    return _answer(options, maps.layer, found, skipped)


def _explained_of(options: Namespace, preprocess):
    if options.target is None:
        return f"top{options.top}" if options.top is not None else options.number
    return parsed(options.target, preprocess)


def _explained(maps, pixels):
    picture, best = maps(pixels)
    return picture, {"classes": best}


def _report(path: Path, pages: dict[str, bytes]) -> None:
    from keras_metric.plots import save_report

    path.parent.mkdir(parents=True, exist_ok=True)
    save_report(path, pages)


def _answer(options: Namespace, layer: str, found: list[Drawn], skipped: list[dict]) -> Answer:
    lines = [
        f"{one.target or one.source}{' (kept: drawn before)' if one.kept else ''}: "
        f"{_described(one.content['classes'])}"
        for one in found
    ]
    lines += [f"skipped {one['image']}: {one['reason']}" for one in skipped]
    lines += [f"layer: {layer}"]
    if skipped:
        lines.append(f"{len(skipped)} of {len(found) + len(skipped)} images skipped")
    if options.report:
        lines.append(f"{options.report}: the report, {len(found)} pictures")
    maps = [
        {"image": str(one.source), "map": one.target and str(one.target), **one.content}
        for one in found
    ]
    content = {"layer": layer, "maps": maps, "skipped": skipped, "report": options.report}
    return Answer(content, "\n".join(lines), SKIPPED if skipped else 0)


def _described(best: list[dict]) -> str:
    from zoo.reports.drawing import described

    return ", ".join(f"{described(one)}, score {one['score']:.3f}" for one in best)


def _places(
    path: Path, images: list[Path], out: str | None, report: str | None
) -> Sequence[Path | None]:
    """The file each map goes to, or None when only a report is wanted."""
    suffixes = [(out, ".png")] if out and not path.is_dir() else []
    suffixes += [(report, ".html")] if report else []
    wrong = [name for name, suffix in suffixes if Path(name).suffix != suffix]
    if wrong or not (out or report):
        raise ValueError(
            "No output was named. Expected: -o with a .png file (for a folder of "
            "images, a folder), or --report with an .html file. "
            f"Received: {', '.join(wrong) or 'neither'}."
        )
    return targets(path, images, Path(out)) if out else [None] * len(images)

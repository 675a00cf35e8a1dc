"""rewrite a classifier as a fully convolutional network, and prove it equal

Prints the rewriting layer by layer, how exact the result is and which layers are why not, and what
each output cell sees of the image.

The source may be a .keras or .h5 of Keras 3, an .h5 of Keras 2, and with keras-metric[legacy] a
.keras or SavedModel of Keras 2. It is never written to.

examples:
  keras-metric convert classifier.keras -o fcn.keras
  keras-metric convert classifier.keras -o fcn.keras --densify 4
  keras-metric convert old.h5 -o fcn.keras --map --saved-model served/fcn
"""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from zoo.commands import Answer
from zoo.commands._pictures import height_and_width


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="MODEL", help="a .keras or .h5 file; it is only read")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="the .keras to write")
    parser.add_argument(
        "--map", action="store_true", help="drop the global pooling: class activation maps"
    )
    parser.add_argument(
        "--densify", type=int, default=1, metavar="N", help="cells N times finer, by dilation"
    )
    parser.add_argument(
        "--size", metavar="HxW", help="of the training images, for a model of free sizes"
    )
    parser.add_argument(
        "--allow-global",
        action="store_true",
        help="keep layers that look at the whole image; cells are then no windows",
    )
    parser.add_argument(
        "--trust", action="store_true", help="run the Python code of Lambda layers in the file"
    )
    parser.add_argument("--saved-model", metavar="DIR", help="write a SavedModel there, too")


def run(options: Namespace) -> Answer:
    from keras_metric import convert
    from zoo.files import write

    out = Path(options.out)
    if out.suffix != ".keras" or out.resolve() == Path(options.path).resolve():
        raise ValueError(
            "The result needs a place of its own. Expected a file that ends in .keras and is not "
            f"the source. Received: {options.out}."
        )
    size = height_and_width(options.size, "--size")
    source = convert.load(options.path, safe_mode=not options.trust)
    fcn = convert.to_fully_convolutional(
        source,
        pooling="map" if options.map else "window",
        densify=options.densify,
        input_shape=_shape(source, size) if size else None,
        allow_global=options.allow_global,
    )
    report, geometry = convert.verify(source, fcn), convert.geometry(fcn)
    if not report.equal:
        raise ValueError(
            f"The conversion differs from {options.path}. Expected equal answers at the original "
            f"size. Received:\n{report}"
        )
    write(out, fcn.save)
    text = [str(fcn.conversion), str(report), str(geometry), f"{out}: the converted model"]
    if options.saved_model:
        from keras_metric.export import saved_model

        text.append(f"{saved_model(fcn, options.saved_model)}: the SavedModel")
    content = {
        "rows": [[str(cell) for cell in row] for row in fcn.conversion.rows],
        "equal": report.equal,
        "exact": report.exact,
        "report": {name: str(value) for name, value in asdict(report).items()},
        "geometry": {name: str(value) for name, value in asdict(geometry).items()},
    }
    return Answer(content, "\n\n".join(text))


def _shape(model, size: tuple[int, int]) -> tuple[int, ...]:
    """Of the training images: the model's, with its free sizes filled in."""
    sides = iter(size)
    return tuple(next(sides) if d is None else d for d in model.input_shape[1:])

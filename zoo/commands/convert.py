"""rewrite a classifier as a fully convolutional network, and verify that it is equal

Prints how each layer was rewritten, how exact the result is and which layers prevent exactness, and
each cell's receptive field.

The source can be a .keras or .h5 file of Keras 3, an .h5 file of Keras 2, with
keras-metric[legacy] a .keras file or SavedModel of Keras 2, the folder of a run, or the name of a
trained model (`keras-metric list --trained`) or backbone. It is never modified.

examples:
  keras-metric convert classifier.keras -o fcn.keras
  keras-metric convert classifier.keras -o fcn.keras --densify 4
  keras-metric convert old.h5 -o fcn.keras --map --saved-model served/fcn
  keras-metric convert signals.keras -o fcn.keras --size 128
  keras-metric convert digits-fcn -o fcn.keras
"""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict, fields
from pathlib import Path

from zoo.commands import Answer
from zoo.commands._models import opened
from zoo.commands._pictures import sides

_IN_OPTIONS = (  # what the Python functions call their arguments, and the command its options
    (
        "input_shape=, the size of the training images (all dimensions, no batch)",
        "--size, the size of the training images, such as 28x28, or 64 for a signal",
    ),
    ("input_shape=(height, width, channels)", "--size HxW"),
    ("input_shape=None", "no --size"),
    ("input_shape=", "--size "),
    ("safe_mode=False", "--trust"),
    ("safe_mode=True", "no --trust"),
    ("allow_global=True", "--allow-global"),
    ("pooling='map'", "--map"),
    ("pooling='window'", "no --map"),
    ("densify=", "--densify "),
)


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "path", metavar="MODEL", help="a .keras or .h5 file, a run, or a trained model by name"
    )
    parser.add_argument(
        "-o", "--out", required=True, metavar="FILE", help="the .keras file to write"
    )
    parser.add_argument(
        "--map", action="store_true", help="drop the global pooling: class activation maps"
    )
    parser.add_argument(
        "--densify", type=int, default=1, metavar="N", help="cells N times finer, by dilation"
    )
    parser.add_argument(
        "--size",
        metavar="HxW",
        help="training size, for a model of free sizes; L for signals, DxHxW for volumes",
    )
    parser.add_argument(
        "--allow-global",
        action="store_true",
        help="keep layers that read the whole image; cells then depend on all of it",
    )
    parser.add_argument(
        "--trust", action="store_true", help="run the Python code of Lambda layers in the file"
    )
    parser.add_argument("--saved-model", metavar="DIR", help="also write a SavedModel there")


def run(options: Namespace) -> Answer:
    from keras_metric import convert
    from zoo.files import write

    out = Path(options.out)
    if out.suffix != ".keras" or out.resolve() == Path(options.path).resolve():
        raise ValueError(
            "The output path is not valid. Expected: a file that ends in .keras and is not "
            f"the source. Received: {options.out}."
        )
    size = sides(options.size, "--size", "sides in pixels, such as 28x28, or 64 for a signal")
    try:
        source = opened(options.path, trust=options.trust)
        fcn = convert.to_fully_convolutional(
            source,
            pooling="map" if options.map else "window",
            densify=options.densify,
            input_shape=_shape(source, size) if size else None,
            allow_global=options.allow_global,
        )
    except convert.ConversionError as error:
        raise convert.ConversionError(_in_options(str(error))) from error
    report, geometry = convert.verify(source, fcn), convert.geometry(fcn)
    if not report.equal:
        raise ValueError(
            f"The conversion differs from {options.path}. Expected: equal answers at the original "
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
        "geometry": {
            one.name: str(getattr(geometry, one.name)) for one in fields(geometry) if one.repr
        },
    }
    return Answer(content, "\n\n".join(text))


def _in_options(message: str) -> str:
    """A message of the converter in the words of the command line."""
    for argument, option in _IN_OPTIONS:
        message = message.replace(argument, option)
    return message


def _shape(model, size: tuple[int, ...]) -> tuple[int, ...]:
    """Of the training images: the model's, with its free sizes filled in."""
    shape = model.input_shape
    free = tuple(shape[1:]).count(None) if isinstance(shape, tuple) else 0
    if free != len(size):
        raise ValueError(
            f"--size does not fit the model. Expected: {free} sides, as many as are free in one "
            f"input. Received: {'x'.join(map(str, size))} for input shape {shape}."
        )
    given = iter(size)
    return tuple(next(given) if d is None else d for d in shape[1:])

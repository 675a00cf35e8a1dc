"""write a model as a SavedModel for TensorFlow Serving, or as a file for LiteRT or ONNX Runtime

The SavedModel gets the next free version number; nothing is ever overwritten. A file for another
runtime contains one signature, and is kept only if that runtime's outputs equal those of the
SavedModel.

examples:
  keras-metric export out/digits-triplet
  keras-metric export encoder.keras --out served/encoder
  keras-metric export omniglot-infonce
  keras-metric export out/digits-triplet --gallery out/digits-triplet/index
  keras-metric export out/digits-triplet --format onnx
  keras-metric export out/digits-triplet --format litert --precision int8 --samples photos/
"""

import tempfile
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

import zoo
from zoo.commands import Answer

SUFFIXES = {"litert": ".tflite", "onnx": ".onnx"}
PRECISIONS = ("float32", "float16", "dynamic", "int8")
MUST_EXIST = {
    "path": "the folder of a run, the name of a trained model, or a .keras file",
    "gallery": "the folder of an index",
    "samples": "a folder of images",
}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "path",
        metavar="MODEL",
        help="folder of a run, a .keras file, a name of `keras-metric list --trained`, or "
        "hf://OWNER/NAME",
    )
    parser.add_argument(
        "--out",
        metavar="PATH",
        help="folder of the versions (default: saved_model beside MODEL), or the file",
    )
    parser.add_argument(
        "--gallery",
        metavar="INDEX",
        help="of a SavedModel: the folder of an index of MODEL (`keras-metric index`), whose "
        "records are stored in it, for the signature neighbours",
    )
    parser.add_argument(
        "--top",
        type=int,
        default=5,
        metavar="N",
        help="of a SavedModel: classes or neighbors returned (default: %(default)s)",
    )
    parser.add_argument("--format", choices=["saved_model", *SUFFIXES], default="saved_model")
    parser.add_argument(
        "--signature",
        default="serving_default",
        help="of LiteRT and ONNX: the signature that the file contains (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="of LiteRT: dtype of the weights; int8 needs --samples for the activation ranges",
    )
    parser.add_argument(
        "--samples",
        metavar="FOLDER",
        help="of LiteRT and ONNX: pictures on which outputs are compared (default: noise)",
    )


def run(options: Namespace) -> Answer:
    if options.format == "saved_model":
        path = zoo.export(options.path, options.out, gallery=options.gallery, top=options.top)
        return Answer({"saved_model": str(path)}, f"{path}: the SavedModel")
    if options.gallery is not None:
        raise ValueError(
            "A file for another runtime cannot contain a gallery: it cannot return text labels. "
            f"Expected: --format saved_model. Received: {options.format}."
        )
    if options.format == "onnx" and options.precision != "float32":
        raise ValueError(
            "ONNX files keep the weights as they are. Expected: --precision float32. "
            f"Received: {options.precision}."
        )
    made = _portable(options)
    return Answer({**asdict(made), "path": str(made.path)}, str(made))


def _portable(options: Namespace):
    """The file for another runtime, written from a SavedModel that is thrown away."""
    from keras_metric import export
    from zoo.runs.exporting import home

    file = f"model{SUFFIXES[options.format]}"
    target = Path(options.out) if options.out else home(options.path) / file
    export.free(target)
    with tempfile.TemporaryDirectory() as folder:
        saved = zoo.export(options.path, folder)
        known = {"signature": options.signature, "samples": _samples(options.samples, saved)}
        if options.format == "onnx":
            return export.to_onnx(saved, target, **known)
        return export.to_litert(saved, target, precision=options.precision, **known)


def _samples(folder: str | None, saved: Path):
    if folder is None:
        return None
    from zoo.datasets.reading import folders

    preprocess = zoo.preprocessing(saved)
    preprocess = preprocess.with_changes(size=preprocess.size or (64, 64))
    return preprocess.scaled(folders.load(folder, preprocess).images)

"""write a model as a SavedModel for TensorFlow Serving

The SavedModel gets the next free version number; no version is ever overwritten.

examples:
  keras-metric export out/digits-triplet
  keras-metric export encoder.keras --out served/encoder
"""

from argparse import ArgumentParser, Namespace

import zoo
from zoo.commands import Answer


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "path", metavar="MODEL", help="folder of a run, a .keras file, or hf://OWNER/NAME"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="folder of the versions (default: saved_model beside MODEL)"
    )


def run(options: Namespace) -> Answer:
    path = zoo.export(options.path, options.out)
    return Answer({"saved_model": str(path)}, f"{path}: the SavedModel")

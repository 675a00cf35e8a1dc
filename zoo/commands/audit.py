"""judge a SavedModel as a TensorFlow server would meet it

Lists signatures and operations, says what stays on the CPU, and names every fault; any SavedModel
may be asked about. Exit code 1 on a fault.

examples:
  keras-metric audit out/digits-triplet/saved_model
"""

from argparse import ArgumentParser, Namespace

from zoo.commands import Answer

MUST_EXIST = {"path": "a version folder of a SavedModel, or a folder of versions"}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="DIR", help="a version folder, or the folder of versions")


def run(options: Namespace) -> Answer:
    from keras_metric.export import audit

    found = audit(options.path)
    return Answer(found.as_dict(), str(found), int(not found.ok))

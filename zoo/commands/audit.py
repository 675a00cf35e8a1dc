"""check a SavedModel the way a TensorFlow server will load it

Lists signatures and operations, shows what runs only on the CPU, and names every fault. Any
SavedModel can be checked. Exit code 1 if there are faults.

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

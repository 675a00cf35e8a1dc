"""serve a SavedModel on this machine with the REST and gRPC interfaces of TensorFlow Serving

For trying out a model: on loopback, without accounts, until Ctrl-C. New versions are loaded when
they appear. A trained model or backbone given by name is exported first, to out/trained/NAME or
out/NAME.

examples:
  keras-metric serve out/digits-triplet/saved_model --name digits
  keras-metric serve digits-triplet
  curl -d '{"instances": [...]}' http://localhost:8501/v1/models/digits:predict
"""

import sys
from argparse import ArgumentParser, Namespace

from zoo.commands import Answer
from zoo.pretrained import is_named

MUST_EXIST = {"path": "a folder of versions of a SavedModel, or the name of a trained model"}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "path", metavar="MODEL", help="a folder of versions, or the name of a trained model"
    )
    parser.add_argument(
        "--name", help="name of the model in requests (default: that of the folder or model)"
    )
    parser.add_argument("--rest-port", type=int, default=8501, metavar="PORT", help="0: any free")
    parser.add_argument("--grpc-port", type=int, default=8500, metavar="PORT", help="0: any free")


def run(options: Namespace) -> Answer:
    from keras_metric.serve import serve

    ports = {"rest_port": options.rest_port, "grpc_port": options.grpc_port}
    path, name = options.path, options.name
    if is_named(path):
        from zoo.runs.exporting import exported

        name = name or path
        path = exported(path).parent
    serve(path, name=name, ready=_say, **ports)
    return Answer({"served": options.path}, "stopped")


def _say(name: str, rest_port: int, grpc_port: int) -> None:
    print(
        f"serving {name}: http://localhost:{rest_port}/v1/models/{name}:predict, "
        f"gRPC on port {grpc_port}; Ctrl-C stops",
        file=sys.stderr,
        flush=True,
    )

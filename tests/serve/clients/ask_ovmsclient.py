"""Ask a server through ovmsclient, whose environment has no TensorFlow: gRPC, then REST.

    python ask_ovmsclient.py GRPC_PORT REST_PORT NAME asked.npz answered.npz

Prints as JSON what it is and what it was told; ovmsclient asks for serving_default alone.
"""

import importlib.util
import json
import sys
from importlib.metadata import version

import numpy as np
from ovmsclient import make_grpc_client, make_http_client
from ovmsclient.tfs_compat.base.errors import InvalidInputError, ModelNotFoundError


def main(grpc_port: str, rest_port: str, name: str, asked: str, answered: str) -> None:
    assert importlib.util.find_spec("tensorflow") is None
    with np.load(asked, allow_pickle=True) as file:
        images = file["serving_default|images"]
    answers, told = {}, {"ovmsclient": version("ovmsclient"), "grpcio": version("grpcio")}
    for way, client in (
        ("gRPC", make_grpc_client(f"localhost:{grpc_port}")),
        ("REST", make_http_client(f"localhost:{rest_port}")),
    ):
        answers[way] = client.predict({"images": images}, name, 1)
        status, facts = client.get_model_status(name, 1), client.get_model_metadata(name, 1)
        refused = []
        for wrong, model in ((images[:, :3], name), (images, "other")):
            try:
                client.predict({"images": wrong}, model, 1)
            except (InvalidInputError, ModelNotFoundError) as error:
                refused.append(type(error).__name__)
        told[way] = {"status": status, "metadata": facts, "refused": refused}
    np.savez(answered, **answers)
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])

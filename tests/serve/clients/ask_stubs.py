"""Ask a server for every signature through the messages of tensorflow-serving-api.

    python ask_stubs.py GRPC_PORT NAME asked.npz answered.npz

Prints as JSON what it is and what it was told of the model.
"""

import json
import sys
from importlib.metadata import version

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)


def main(grpc_port: str, name: str, asked: str, answered: str) -> None:
    channel = grpc.insecure_channel(f"localhost:{grpc_port}")
    service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    with np.load(asked, allow_pickle=True) as file:
        inputs = {key: file[key] for key in file}
    answers = {}
    for signature in sorted({key.partition("|")[0] for key in inputs}):
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = name, signature
        for key, array in inputs.items():
            if key.startswith(f"{signature}|"):
                request.inputs[key.partition("|")[2]].CopyFrom(tf.make_tensor_proto(array))
        for key, tensor in service.Predict(request, 30).outputs.items():
            answers[f"{signature}|{key}"] = tf.make_ndarray(tensor)
    np.savez(answered, **answers)
    print(json.dumps({**told(channel, service, name), **refused(service, name)}))


def told(channel, service, name: str) -> dict:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = name
    packed = service.GetModelMetadata(request, 30).metadata["signature_def"]
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert packed.Unpack(signatures)
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    states = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, 30)
    return {
        "tensorflow-serving-api": version("tensorflow-serving-api"),
        "tensorflow": tf.__version__,
        "grpcio": grpc.__version__,
        "signatures": sorted(signatures.signature_def),
        "states": [[s.version, s.state, s.status.error_code] for s in states.model_version_status],
    }


def refused(service, name: str) -> dict:
    """The codes of a model and of a signature that are not there."""
    codes = []
    for model, signature in (("other", ""), (name, "nearest")):
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = model, signature
        try:
            service.Predict(request, 30)
        except grpc.RpcError as error:
            codes.append(error.code().name)
    return {"refused": codes}


if __name__ == "__main__":
    main(*sys.argv[1:])

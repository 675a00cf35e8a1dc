"""The gRPC interface of a TensorFlow server: Predict, GetModelMetadata, GetModelStatus.

The messages are read and written field by field, so no generated classes are needed.
"""

from collections.abc import Callable
from operator import index

import grpc
import numpy as np

from keras_metric.export.runtime import Signature, Tensor
from keras_metric.export.runtime.description import NUMPY, STRING
from keras_metric.export.runtime.wire import field, fields
from keras_metric.serve.refusals import Refusal
from keras_metric.serve.servable import Servable
from keras_metric.serve.tensors import from_message, to_message

_SIGNATURES_TYPE = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
_AVAILABLE, _END, _UNKNOWN = 30, 50, 2


def handlers(servable: Servable, *, max_bytes: int) -> list[grpc.GenericRpcHandler]:
    """The two services over a servable, as a gRPC server takes them."""
    services = {
        "tensorflow.serving.PredictionService": {
            "Predict": lambda request: _predict(servable, request, max_bytes),
            "GetModelMetadata": lambda request: _metadata(servable, request),
        },
        "tensorflow.serving.ModelService": {
            "GetModelStatus": lambda request: _status(servable, request),
        },
    }
    return [
        grpc.method_handlers_generic_handler(
            service,
            {name: grpc.unary_unary_rpc_method_handler(_guarded(m)) for name, m in methods.items()},
        )
        for service, methods in services.items()
    ]


def _guarded(method: Callable[[bytes], bytes]) -> Callable:
    """A method whose refusals reach the client as gRPC's own codes."""

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return method(request)
        except Refusal as refusal:
            code, message = getattr(grpc.StatusCode, refusal.code), str(refusal)
        except (ValueError, UnicodeDecodeError, AttributeError, TypeError, KeyError) as error:
            # a field of another kind than its message says: broken on the way, or never whole
            code, message = grpc.StatusCode.INVALID_ARGUMENT, f"The request is broken: {error}"
        raise context.abort(code, message)  # abort itself raises

    return answer


def _predict(servable: Servable, request: bytes, max_bytes: int) -> bytes:
    name, number, signature, inputs, wanted = "", None, "", {}, set()
    for position, value in fields(request):
        if position == 1:
            name, number, signature = _model_spec(value)
        elif position == 2:
            entry = dict(fields(value))
            inputs[entry[1].decode()] = from_message(entry[2], max_bytes=max_bytes)
        elif position == 3:
            wanted.add(value.decode())
    signature = signature or "serving_default"
    with servable.borrowed(name, number) as version:
        _check_types(version.signature(signature), inputs)
        outputs = version.predict(signature, inputs)
    unknown = wanted - set(outputs)
    if unknown:
        raise Refusal("INVALID_ARGUMENT", f"No such outputs: {', '.join(sorted(unknown))}")
    kept = {key: array for key, array in outputs.items() if not wanted or key in wanted}
    tensors = (field(1, field(1, key) + field(2, to_message(a))) for key, a in kept.items())
    return b"".join(tensors) + field(2, _spec(name, version.number, signature))


def _check_types(signature: Signature, inputs: dict[str, np.ndarray]) -> None:
    for name, tensor in signature.inputs.items():
        given = inputs.get(name)
        kind = np.dtype("O" if tensor.dtype == STRING else NUMPY[tensor.dtype])
        if given is not None and given.dtype != kind:
            raise Refusal(
                "INVALID_ARGUMENT",
                f"Input {name} is of another type. Expected: {tensor}. Received: {given.dtype}.",
            )


def _model_spec(message: bytes) -> tuple[str, int | None, str]:
    spec = dict(fields(message))
    number = index(dict(fields(spec[2])).get(1, 0)) if 2 in spec else None
    return spec.get(1, b"").decode(), number, spec.get(3, b"").decode()


def _spec(name: str, number: int, signature: str = "") -> bytes:
    return field(1, name) + field(2, field(1, number)) + field(3, signature)


def _metadata(servable: Servable, request: bytes) -> bytes:
    entries = [value for number, value in fields(request) if number == 1]
    asked = {value.decode() for number, value in fields(request) if number == 2}
    if asked != {"signature_def"}:
        raise Refusal(
            "INVALID_ARGUMENT",
            f"Expected: metadata_field signature_def. Received: {', '.join(sorted(asked))}.",
        )
    name, number, _ = _model_spec(entries[0] if entries else b"")
    with servable.borrowed(name, number) as version:
        signatures = version.runtime.signatures
    table = b"".join(
        field(1, field(1, key) + field(2, _signature(s))) for key, s in signatures.items()
    )
    packed = field(1, _SIGNATURES_TYPE) + field(2, table)
    return field(1, _spec(name, version.number)) + field(
        2, field(1, "signature_def") + field(2, packed)
    )


def _signature(signature: Signature) -> bytes:
    sides = ((1, signature.inputs), (2, signature.outputs))
    tensors = (
        field(side, field(1, name) + field(2, _tensor(tensor)))
        for side, named in sides
        for name, tensor in named.items()
    )
    return b"".join(tensors) + field(3, "tensorflow/serving/predict")


def _tensor(tensor: Tensor) -> bytes:
    dims = b"".join(field(2, field(1, length)) for length in tensor.shape or ())
    shape = field(3, 1) if tensor.shape is None else dims
    return field(1, tensor.name) + field(2, tensor.dtype) + field(3, shape)


def _status(servable: Servable, request: bytes) -> bytes:
    entries = [value for number, value in fields(request) if number == 1]
    name, number, _ = _model_spec(entries[0] if entries else b"")
    with servable.borrowed(name, number) as version:
        states = [field(1, version.number) + field(2, _AVAILABLE) + field(3, b"")]
    failed = servable.failures.items() if number is None else ()
    states += [
        field(1, n) + field(2, _END) + field(3, field(1, _UNKNOWN) + field(2, message))
        for n, message in failed
    ]
    return b"".join(field(1, state) for state in states)

"""The REST interface of a TensorFlow server: predict, metadata, status, and a page of health.

GET  /v1/models/NAME[/versions/N]             status
GET  /v1/models/NAME[/versions/N]/metadata    signatures
POST /v1/models/NAME[/versions/N]:predict     {"signature_name": ..., "instances" or "inputs"}
"""

import json

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from keras_metric.export.runtime import Signature, Tensor
from keras_metric.serve.json_forms import answer_of, inputs_of
from keras_metric.serve.refusals import Refusal
from keras_metric.serve.servable import Servable

_DTYPES = {1: "FLOAT", 2: "DOUBLE", 3: "INT32", 4: "UINT8", 5: "INT16", 6: "INT8", 7: "STRING"}
_DTYPES |= {9: "INT64", 10: "BOOL", 17: "UINT16", 19: "HALF"}


def application(servable: Servable, *, max_bytes: int) -> Starlette:
    """The web application over a servable. Larger bodies than `max_bytes` are refused unread."""

    async def predict(request: Request) -> Response:
        body = await body_of(request, max_bytes)
        return await _answered(lambda: _predict(servable, *_model(request), body))

    async def metadata(request: Request) -> Response:
        return await _answered(lambda: _metadata(servable, *_model(request)))

    async def status(request: Request) -> Response:
        return await _answered(lambda: _status(servable, *_model(request)))

    routes = []
    for model in ("/v1/models/{name}", "/v1/models/{name}/versions/{version:int}"):
        routes += [
            Route(f"{model}:predict", predict, methods=["POST"]),
            Route(f"{model}/metadata", metadata),
            Route(model, status),
        ]
    # the longer path first: a name may not swallow "/versions/1"
    return Starlette(routes=routes[3:] + routes[:3], exception_handlers={Refusal: _refused})


def _model(request: Request) -> tuple[str, int | None]:
    return request.path_params["name"], request.path_params.get("version")


async def body_of(request: Request, max_bytes: int) -> bytes:
    """The body, read as far as the limit and no further.

    Raises:
        Refusal: it is larger.
    """
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise Refusal(
                "RESOURCE_EXHAUSTED",
                f"The request is too large. Expected: at most {max_bytes:,} bytes. Received: more.",
            )
        chunks.append(chunk)
    return b"".join(chunks)


async def _answered(work) -> Response:
    return _json(await run_in_threadpool(work))


async def _refused(request: Request, refusal: Refusal) -> Response:
    return _json({"error": str(refusal)}, status=refusal.http)


def _json(value, *, status: int = 200) -> Response:
    return Response(json.dumps(value), status, media_type="application/json")


def _predict(servable: Servable, name: str, number: int | None, body: bytes) -> dict:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal("INVALID_ARGUMENT", f"JSON Parse error: {error}") from error
    if not isinstance(asked, dict) or not isinstance(asked.get("signature_name", ""), str):
        raise Refusal(
            "INVALID_ARGUMENT",
            "The request cannot be read. Expected: a JSON object, with a text as signature_name. "
            f"Received: {body[:80]!r}.",
        )
    wanted = asked.get("signature_name") or "serving_default"
    with servable.borrowed(name, number) as version:
        inputs, in_rows = inputs_of(asked, version.signature(wanted))
        outputs = version.predict(wanted, inputs)
    return answer_of(outputs, in_rows=in_rows)


def _status(servable: Servable, name: str, number: int | None) -> dict:
    with servable.borrowed(name, number) as version:
        states = [_state(version.number, "AVAILABLE", "OK", "")]
    failed = servable.failures.items() if number is None else ()
    states += [_state(n, "END", "UNKNOWN", message) for n, message in failed]
    return {"model_version_status": states}


def _state(version: int, state: str, code: str, message: str) -> dict:
    status = {"error_code": code, "error_message": message}
    return {"version": str(version), "state": state, "status": status}


def _metadata(servable: Servable, name: str, number: int | None) -> dict:
    with servable.borrowed(name, number) as version:
        signatures = {key: _signature(s) for key, s in version.runtime.signatures.items()}
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(version.number)},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def _signature(signature: Signature) -> dict:
    return {
        "inputs": {name: _tensor(tensor) for name, tensor in signature.inputs.items()},
        "outputs": {name: _tensor(tensor) for name, tensor in signature.outputs.items()},
        "method_name": "tensorflow/serving/predict",
    }


def _tensor(tensor: Tensor) -> dict:
    dims = [{"size": str(length), "name": ""} for length in tensor.shape or ()]
    shape = {"dim": dims, "unknown_rank": tensor.shape is None}
    return {"dtype": f"DT_{_DTYPES[tensor.dtype]}", "tensor_shape": shape, "name": tensor.name}

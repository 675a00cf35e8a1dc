"""The REST interface, asked with nothing but the standard library."""

import base64
import http.client
import io
import json
import re
import socket

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.tensorflow


def ask(server, path: str, body=None, *, raw: bytes | None = None):
    connection = http.client.HTTPConnection("127.0.0.1", server.rest, timeout=30)
    data = raw if raw is not None else None if body is None else json.dumps(body)
    connection.request("GET" if data is None else "POST", path, data)
    response = connection.getresponse()
    answer = json.loads(response.read() or "null") if response.status != 405 else None
    connection.close()
    return response.status, answer


def png(image: np.ndarray) -> dict:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return {"b64": base64.b64encode(file.getvalue()).decode()}


PREDICT = "/v1/models/tiny:predict"


def test_rows_and_columns(server, model, pixels):
    images = pixels.astype("float32")
    wanted = np.asarray(model(images, training=False))
    for path in (PREDICT, "/v1/models/tiny/versions/1:predict"):
        status, answer = ask(server, path, {"instances": images.tolist()})
        assert status == 200
        np.testing.assert_allclose(answer["predictions"], wanted, atol=1e-5)
        named = {"inputs": {"images": images.tolist()}}
        np.testing.assert_allclose(ask(server, path, named)[1]["outputs"], wanted, atol=1e-5)
        by_name = {"instances": [{"images": image} for image in images.tolist()]}
        np.testing.assert_allclose(ask(server, path, by_name)[1]["predictions"], wanted, atol=1e-5)
    assert ask(server, PREDICT, {"instances": []}) == (200, {"predictions": []})


def test_files_are_explained_one_by_one(server, model, pixels):
    rows = [png(pixels[0]), {"b64": base64.b64encode(b"no image").decode()}, png(pixels[2])]
    body = {"signature_name": "explain_bytes", "instances": rows}
    status, answer = ask(server, PREDICT, body)
    assert status == 200
    first, broken, third = answer["predictions"]
    wanted = np.asarray(model(pixels.astype("float32"), training=False))
    assert first["labels"] == [["ant", "bée", "cat"][c] for c in np.argsort(-wanted[0])[:2]]
    np.testing.assert_allclose(third["scores"], np.sort(wanted[2])[::-1][:2], atol=1e-5)
    assert np.shape(third["maps"]) == (2, 6, 4)
    assert (first["valid"], broken["valid"], third["valid"]) == (True, False, True)
    assert broken["classes"] == [-1, -1]


def test_status_and_metadata(server):
    status, answer = ask(server, "/v1/models/tiny")
    ok = {"error_code": "OK", "error_message": ""}
    assert status == 200
    assert answer["model_version_status"][0]["state"] == "AVAILABLE"
    assert answer["model_version_status"][0]["status"] == ok
    status, answer = ask(server, "/v1/models/tiny/metadata")
    assert status == 200
    assert answer["model_spec"]["name"] == "tiny"
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert signatures["serving_default"]["inputs"]["images"]["dtype"] == "DT_FLOAT"
    sizes = signatures["serving_default"]["inputs"]["images"]["tensor_shape"]["dim"]
    assert [dim["size"] for dim in sizes] == ["-1", "8", "6", "3"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"instances": [[[1.0]]]}, "(?i)shape"),
        ({"instances": [[1.0], [1.0, 2.0]]}, "Input images is not float32"),
        ({"instances": ["text"]}, "Input images is not float32"),
        ({"instances": 3}, "a list of rows"),
        ({"inputs": {"pictures": []}}, "Expected: images. Received: pictures"),
        ({"instances": [], "inputs": []}, "Expected: one of"),
        ({}, "Expected: one of"),
        ([], "JSON object"),
        ({"signature_name": 3, "instances": []}, "JSON object"),
        ({"signature_name": "nearest", "instances": []}, 'key "nearest" not found'),
        ({"signature_name": "bytes", "instances": [{"b64": "*"}]}, "image_bytes is not string"),
        ({"signature_name": "bytes", "instances": [3]}, "image_bytes is not string"),
        ({"signature_name": "bytes", "instances": [["a"], "b"]}, "image_bytes is not string"),
    ],
)
def test_bad_requests_are_the_clients_fault(server, body, message):
    status, answer = ask(server, PREDICT, body)
    assert status == 400
    assert re.search(message, answer["error"]), answer


def test_what_is_not_there_is_not_found(server, pixels):
    body = {"instances": pixels.tolist()}
    for path in ("/v1/models/other", "/v1/models/tiny/versions/99", "/v1/models/other/metadata"):
        status, answer = ask(server, path)
        assert (status, "Servable not found" in answer["error"]) == (404, True)
    assert ask(server, "/v1/models/tiny/versions/99:predict", body)[0] == 404
    assert ask(server, PREDICT)[0] in (404, 405)


def test_broken_and_oversized_bodies(server):
    for raw in (b"{", b"\xff\xfe", b"[" * 100_000, b""):
        status, answer = ask(server, PREDICT, raw=raw)
        assert (status, "JSON Parse error" in answer["error"]) == (400, True)
    status, answer = ask(server, PREDICT, raw=b" " * (2**20 + 1))
    assert (status, "too large" in answer["error"]) == (413, True)


def test_answers_do_not_wait_for_acknowledgements():
    import uvicorn

    from keras_metric.serve.running import _listening

    listening = _listening(uvicorn.Server(uvicorn.Config(None, port=0, log_config=None)))
    with listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        accepted.close()


def test_mutated_requests_crash_nothing(server, model, pixels):
    whole = json.dumps({"signature_name": "classify", "instances": pixels[:1].tolist()}).encode()
    draw = np.random.default_rng(9)
    for _ in range(60):
        raw = bytearray(whole)
        for _ in range(draw.integers(1, 6)):
            raw[draw.integers(len(raw))] = draw.integers(32, 127)
        status, answer = ask(server, PREDICT, raw=bytes(raw[: draw.integers(1, len(raw) + 1)]))
        assert status in (200, 400)
        assert ("error" in answer) == (status == 400)
    wanted = np.asarray(model(pixels.astype("float32"), training=False))
    answer = ask(server, PREDICT, {"instances": pixels.tolist()})[1]
    np.testing.assert_allclose(answer["predictions"], wanted, atol=1e-5)

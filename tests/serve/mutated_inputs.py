"""Inputs of every wrong kind, drawn by number, for the signatures that take image files.

    python tests/serve/mutated_inputs.py MODEL/1 10000               through the C library
    python tests/serve/mutated_inputs.py MODEL/1 10000 --rest 8501   through a server of that model
    python tests/serve/mutated_inputs.py MODEL/1 10000 --grpc 8500   and through its other port

Batches of broken files with a whole one among them: the whole one is answered as if alone, broken
ones are invalid, all answers have the right shape. Requests of another form are refused. Prints
what happened to how many as JSON; ends with an error at the first wrong answer.
"""

import argparse
import base64
import http.client
import io
import json
import time
from collections import Counter

import numpy as np
from PIL import Image

from keras_metric.export.runtime import Runtime, RuntimeFault
from keras_metric.export.runtime.wire import field, fields
from keras_metric.serve.tensors import from_message, to_message

FORMS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
IN_A_BATCH = 25


def whole_files(draw) -> list[bytes]:
    files = []
    for form in FORMS:
        file = io.BytesIO()
        Image.fromarray(draw.integers(0, 256, (30, 20, 3), np.uint8)).save(file, form)
        files.append(file.getvalue())
    return files


def truncated(draw, data):
    return data[: draw.integers(len(data))]


def changed(draw, data):
    data = bytearray(data)
    for _ in range(draw.integers(1, 20)):
        data[draw.integers(min(len(data), draw.choice([40, 10_000])))] = draw.integers(256)
    return bytes(data)


def spliced(draw, data):
    first, second = sorted(draw.integers(len(data), size=2))
    return data[:first] + draw.bytes(draw.integers(200)) + data[second:]


def noise(draw, data):
    """Random bytes, after the first few of a file or from the start."""
    return data[: draw.choice([0, 4, 12])] + draw.bytes(draw.integers(2000))


def huge(draw, data):
    """A header that claims up to 65,535 or 2^32 - 1 pixels a side."""
    data, large = bytearray(data), int(draw.integers(40_000, 65_536))
    largest = int(draw.integers(40_000, 2**32))
    if data.startswith(b"\x89PNG"):
        data[16:24] = largest.to_bytes(4, "big") * 2
    elif data.startswith(b"BM"):
        data[18:26] = (largest % 2**31).to_bytes(4, "little") * 2
    elif data.startswith(b"GIF"):
        data[6:10] = large.to_bytes(2, "little") * 2
    elif data.startswith(b"RIFF"):
        data[26:30] = b"\xff\x3f\xff\x3f"
    else:
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = large.to_bytes(2, "big") * 2
    return bytes(data)


MUTATIONS = (truncated, changed, spliced, noise, huge)


def other_requests(draw, good: bytes) -> tuple[str, dict]:
    """A signature and inputs that do not fit it, or fit an empty batch."""
    values = [
        good,
        3,
        None,
        True,
        {},
        {"b64": "*"},
        [3, 4.5],
        [None],
        [[good], good],
        [[good, good]],
        [[[good]]],
        [good, 7],
        {"image_bytes": good},
        float("inf"),
    ]
    requests = [("bytes", {"image_bytes": value}) for value in values]
    requests += [
        ("bytes", {}),
        ("bytes", {"images": [good]}),
        ("bytes", {"image_bytes": [good], "more": [good]}),
        ("nearest", {"image_bytes": [good]}),
        ("", {"image_bytes": 3}),
        ("serving_default", {"images": [good]}),
        ("serving_default", {"images": draw.normal(size=draw.integers(1, 5, 3)).tolist()}),
        ("serving_default", {"images": np.zeros((1, 1, 1, 1, 1)).tolist()}),
    ]
    return requests[draw.integers(len(requests))]


def through_library(folder: str):
    served = Runtime(folder, threads=1)

    def ask(signature, inputs):
        try:
            return served(signature, **inputs)
        except (TypeError, ValueError, KeyError, RuntimeFault):
            return None

    return ask


def through_rest(port: int, name: str):
    def ask(signature, inputs):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        body = {"signature_name": signature, "inputs": as_json(inputs)}
        connection.request("POST", f"/v1/models/{name}:predict", json.dumps(body))
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        if response.status == 200:
            outputs = answer["outputs"]
            named = outputs if isinstance(outputs, dict) else {"only": outputs}
            return {key: np.array(value) for key, value in named.items()}
        assert response.status in (400, 404), (response.status, answer)
        assert answer.keys() == {"error"}
        return None

    return ask


def through_grpc(port: int, name: str):
    import grpc

    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    refusals = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND")

    def ask(signature, inputs):
        entries = (field(1, key) + field(2, as_tensor(value)) for key, value in inputs.items())
        spec = field(1, name) + field(3, signature)
        request = field(1, spec) + b"".join(field(2, entry) for entry in entries)
        try:
            answer = predict(request, timeout=600)
        except grpc.RpcError as error:
            assert error.code().name in refusals, error.details()  # noqa: PT017
            return None
        found = (dict(fields(entry)) for number, entry in fields(answer) if number == 1)
        return {x[1].decode(): from_message(x[2], max_bytes=2**30) for x in found}

    return ask


def as_tensor(value) -> bytes:
    """The message of an array; of what is none, one of a type that is not there."""
    try:
        array = np.array(value)
    except ValueError:
        return field(1, 99)
    if array.dtype.kind == "S" or isinstance(value, bytes):
        array = np.array(value, object)
    elif array.dtype.hasobject:
        return field(1, 99)
    return to_message(array.astype("f4") if array.dtype.kind == "f" else array)


def as_json(value):
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: as_json(part) for key, part in value.items()}
    return [as_json(part) for part in value] if isinstance(value, list) else value


def run(ask, signatures: list[str], count: int, seed: int) -> dict:
    draw = np.random.default_rng(seed)
    whole = whole_files(draw)
    alone = {name: ask(name, {"image_bytes": whole[:1]}) for name in signatures}
    told, done, slowest = Counter(), 0, 0.0
    while done < count:
        began = time.monotonic()
        if draw.random() < IN_A_BATCH / (IN_A_BATCH + 1):  # as many requests as files
            name, inputs = other_requests(draw, whole[0])
            answer = ask(name, inputs)
            told["refused" if answer is None else "answered in another form"] += 1
            assert answer is None, (name, inputs, answer)
            done += 1
        else:
            name = signatures[draw.integers(len(signatures))]
            done += check_batch(ask, name, alone[name], whole, draw, told)
        slowest = max(slowest, time.monotonic() - began)
    return {**told, "inputs": done, "slowest request, s": round(slowest, 3)}


def check_batch(ask, name, alone, whole, draw, told) -> int:
    kinds = [MUTATIONS[i] for i in draw.integers(len(MUTATIONS), size=IN_A_BATCH)]
    files = [mutate(draw, whole[draw.integers(len(whole))]) for mutate in kinds]
    place = int(draw.integers(IN_A_BATCH + 1))
    answer = ask(name, {"image_bytes": [*files[:place], whole[0], *files[place:]]})
    assert answer.keys() == alone.keys()
    for key, values in answer.items():
        assert values.shape == (IN_A_BATCH + 1, *alone[key].shape[1:]), (key, values.shape)
        if values.dtype.kind == "f":
            assert np.isfinite(values).all()
            np.testing.assert_allclose(values[place], alone[key][0], atol=1e-5)
        else:
            np.testing.assert_array_equal(values[place], alone[key][0])
    valid = np.delete(answer["valid"], place)
    assert not valid[[kind is huge for kind in kinds]].any()
    told["valid"] += int(valid.sum())
    told["invalid"] += int((~valid).sum())
    return IN_A_BATCH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rest", type=int, metavar="PORT")
    parser.add_argument("--grpc", type=int, metavar="PORT")
    parser.add_argument("--name", default="tiny")
    given = parser.parse_args()
    with Runtime(given.folder, threads=1) as served:
        signatures = [n for n, s in served.signatures.items() if set(s.inputs) == {"image_bytes"}]
    if given.rest or given.grpc:
        way, port = (through_rest, given.rest) if given.rest else (through_grpc, given.grpc)
        ask = way(port, given.name)
    else:
        ask = through_library(given.folder)
    print(json.dumps(run(ask, sorted(signatures), given.count, given.seed)))


if __name__ == "__main__":
    main()

"""Replays the warm-up requests of a SavedModel, as a TensorFlow server does when it loads it."""

import struct
from collections.abc import Iterator
from pathlib import Path

from keras_metric.export.runtime import Runtime
from keras_metric.export.runtime.wire import fields
from keras_metric.serve.tensors import from_message

_AT_MOST = 1000
_MAX_BYTES = 2**28


def replay(runtime: Runtime, folder: Path) -> int:
    """Runs every request in `assets.extra/tf_serving_warmup_requests`; returns how many.

    Raises:
        ValueError, RuntimeFault: a request that cannot be read, or that the model refuses.
    """
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    if not file.is_file():
        return 0
    count = 0
    for count, record in enumerate(_records(file.read_bytes()), start=1):
        if count > _AT_MOST:
            raise ValueError(f"Too many warm-up requests. Expected: {_AT_MOST}. Received: more.")
        for kind, log in fields(record):
            if kind == 6:
                _run(runtime, dict(fields(log))[1])
    return count


def _run(runtime: Runtime, request: bytes) -> None:
    name, inputs = "serving_default", {}
    for number, value in fields(request):
        if number == 1:
            name = dict(fields(value)).get(3, name.encode()).decode()
        elif number == 2:
            entry = dict(fields(value))
            inputs[entry[1].decode()] = from_message(entry[2], max_bytes=_MAX_BYTES)
    runtime(name, **inputs)


def _records(data: bytes) -> Iterator[bytes]:
    """The records of a TFRecord file: length, check sum, bytes, check sum."""
    at = 0
    while at < len(data):
        if at + 12 > len(data):
            raise ValueError("A broken warm-up file. Expected: whole records. Received: a part.")
        (length,) = struct.unpack_from("<Q", data, at)
        if at + 16 + length > len(data):
            raise ValueError("A broken warm-up file. Expected: whole records. Received: a part.")
        yield data[at + 12 : at + 12 + length]
        at += 16 + length

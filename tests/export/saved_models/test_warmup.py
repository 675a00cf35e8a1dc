"""The warm-up requests are what a TensorFlow server reads, and the model answers each of them."""

import contextlib

import numpy as np
import pytest

from keras_metric.export import Runtime
from keras_metric.export.runtime.wire import field, fields, numbers

STUBS = "tensorflow_serving.apis.prediction_log_pb2"


def requests(folder):
    """`signature, inputs` of each record, read with TensorFlow's own records and tensors."""
    import tensorflow as tf
    from tensorflow.core.framework.tensor_pb2 import TensorProto

    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        ((log, predict),) = fields(record)
        ((part, request),) = fields(predict)
        assert (log, part) == (6, 1)
        model, *inputs = fields(request)
        assert model[0] == 1
        tensors = (dict(fields(entry)) for number, entry in inputs if number == 2)
        yield (
            dict(fields(model[1]))[3].decode(),
            {t[1].decode(): tf.make_ndarray(TensorProto.FromString(t[2])) for t in tensors},
        )


@pytest.mark.tensorflow
def test_every_signature_is_asked_once_and_answers(exported):
    asked = dict(requests(exported))
    assert asked["similarity"]["left"].shape == (1, 16, 12, 3)
    assert asked["bytes"]["image_bytes"][0].startswith(b"\x89PNG")
    with Runtime(exported, xla=True) as served:
        assert set(asked) == set(served.signatures)
        for signature, inputs in asked.items():
            assert all(len(a) == 1 for a in served(signature, **inputs).values())
        assert served("bytes", **asked["bytes"])["valid"].all()
    size = (exported / "assets.extra" / "tf_serving_warmup_requests").stat().st_size
    assert size < 20_000


@pytest.mark.tensorflow
def test_the_servers_own_classes_read_the_same(exported):
    stubs = pytest.importorskip(STUBS)
    import tensorflow as tf

    file = exported / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        request = stubs.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.signature_name
        assert all(tf.make_ndarray(t).shape[0] == 1 for t in request.inputs.values())


def test_fields_are_read_as_they_are_written():
    message = field(1, 300) + field(2, "é") + field(16, -1) + field(3, b"\0" * 200)
    assert list(fields(message)) == [(1, 300), (2, "é".encode()), (16, -1), (3, b"\0" * 200)]
    assert list(numbers(b"\x01\xac\x02")) == [1, 300]


def test_any_bytes_are_fields_or_an_error():
    draw = np.random.default_rng(0)
    whole = field(1, field(2, "name") + field(3, 2**40))
    for _ in range(3000):
        message = bytearray(draw.bytes(draw.integers(1, 12)) if draw.random() < 0.5 else whole)
        message[draw.integers(len(message))] = draw.integers(256)
        message = bytes(message[: draw.integers(1, len(message) + 1)])
        with contextlib.suppress(ValueError):
            found = list(fields(message))
            assert sum(len(v) for _, v in found if isinstance(v, bytes)) < len(message)

"""The gRPC interface, asked field by field and with TensorFlow's own tensors."""

import numpy as np
import pytest

from keras_metric.export.runtime.wire import field, fields

grpc = pytest.importorskip("grpc")
pytestmark = pytest.mark.tensorflow

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"


@pytest.fixture(scope="module")
def call(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.rpc}") as channel:
        yield lambda method, request: channel.unary_unary(method)(request, timeout=30)


def request(signature: str = "", *, name: str = "tiny", number: int | None = None, **inputs):
    import tensorflow as tf

    version = b"" if number is None else field(2, field(1, number))
    entries = (
        field(2, field(1, key) + field(2, tf.make_tensor_proto(value).SerializeToString()))
        for key, value in inputs.items()
    )
    return field(1, field(1, name) + version + field(3, signature)) + b"".join(entries)


def outputs(response: bytes) -> dict[str, np.ndarray]:
    import tensorflow as tf
    from tensorflow.core.framework.tensor_pb2 import TensorProto

    entries = (dict(fields(value)) for number, value in fields(response) if number == 1)
    return {e[1].decode(): tf.make_ndarray(TensorProto.FromString(e[2])) for e in entries}


def refused(call, method: str, message: bytes) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as error:
        call(method, message)
    return error.value.code().name, error.value.details()


def test_predict_answers_as_keras_does(call, model, pixels):
    images = pixels.astype("float32")
    wanted = np.asarray(model(images, training=False))
    answer = outputs(call(PREDICT, request(images=images)))
    np.testing.assert_allclose(answer["scores"], wanted, atol=1e-5)
    answer = outputs(call(PREDICT, request("classify", number=1, images=images)))
    np.testing.assert_array_equal(answer["classes"], np.argsort(-wanted)[:, :2])
    assert answer["labels"].shape == (4, 2)
    assert set(answer["labels"].ravel()) <= {b"ant", "bée".encode(), b"cat"}
    assert outputs(call(PREDICT, request(images=images[:0])))["scores"].shape == (0, 3)


def test_only_the_outputs_asked_for(call, pixels):
    message = request("classify", images=pixels.astype("float32"))
    assert set(outputs(call(PREDICT, message + field(3, "classes")))) == {"classes"}
    assert refused(call, PREDICT, message + field(3, "maps"))[0] == "INVALID_ARGUMENT"


def test_metadata_and_status(call):
    response = call(METADATA, field(1, field(1, "tiny")) + field(2, "signature_def"))
    parts = dict(fields(response))
    packed = dict(fields(dict(fields(parts[2]))[2]))
    assert packed[1].endswith(b"SignatureDefMap")
    table = [dict(fields(entry))[1].decode() for _, entry in fields(packed[2])]
    assert {"serving_default", "classify", "explain", "bytes"} <= set(table)
    ((_, state), *_) = fields(call(STATUS, field(1, field(1, "tiny"))))
    assert dict(fields(state))[2] == 30


def test_refusals_have_the_codes_of_a_tensorflow_server(call, pixels):
    images = pixels.astype("float32")
    assert refused(call, PREDICT, request(name="other", images=images))[0] == "NOT_FOUND"
    assert refused(call, PREDICT, request(number=99, images=images))[0] == "NOT_FOUND"
    code, message = refused(call, PREDICT, request("nearest", images=images))
    assert (code, message) == ("FAILED_PRECONDITION", 'Serving signature key "nearest" not found.')
    for wrong in (
        request(images=images[:, :3]),
        request(images=pixels),
        request(pictures=images),
        request(),
        b"\xff\xff\xff",
        field(1, 3),
    ):
        assert refused(call, PREDICT, wrong)[0] == "INVALID_ARGUMENT"


def test_a_few_bytes_that_claim_gigabytes_are_refused(call):
    shape = field(2, b"".join(field(2, field(1, size)) for size in (2**20, 8, 6, 3)))
    tensor = field(1, 1) + shape + field(5, np.float32(1).tobytes())
    message = field(1, field(1, "tiny")) + field(2, field(1, "images") + field(2, tensor))
    assert "at most 1,048,576 bytes" in refused(call, PREDICT, message)[1]


def test_mutated_messages_crash_nothing(call, model, pixels):
    images = pixels[:1].astype("float32")
    whole = request("classify", images=images)
    draw = np.random.default_rng(5)
    for _ in range(300):
        message = bytearray(whole)
        for _ in range(draw.integers(1, 8)):
            message[draw.integers(min(80, len(message)))] = draw.integers(256)
        try:
            assert outputs(call(PREDICT, bytes(message)))["classes"].shape[1] == 2
        except grpc.RpcError as error:
            codes = ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION")
            assert error.code().name in codes, error.details()  # noqa: PT017
    answer = outputs(call(PREDICT, request(images=images)))["scores"]
    np.testing.assert_allclose(answer, np.asarray(model(images, training=False)), atol=1e-5)

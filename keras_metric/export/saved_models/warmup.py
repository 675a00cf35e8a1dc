"""Requests that a server answers to itself before it answers anybody: `assets.extra`.

The first request to a signature pays for memory and for the choice of algorithms. A TensorFlow
server replays this file when it loads the version (and refuses the version if one fails).
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

from keras_metric.export.runtime.wire import field

FILE_NAME = "tf_serving_warmup_requests"


def write_warmup(draft: Path, probes: dict[str, dict[str, np.ndarray]]) -> None:
    """One request for each signature, the first row of each of its probes."""
    folder = draft / "assets.extra"
    folder.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / FILE_NAME)) as file:
        for signature, inputs in probes.items():
            file.write(_prediction_log(signature, {k: v[:1] for k, v in inputs.items()}))


def _prediction_log(signature: str, inputs: dict[str, np.ndarray]) -> bytes:
    """PredictionLog(predict_log=PredictLog(request=PredictRequest(...))), encoded by hand."""
    model = field(1, "model") + field(3, signature)
    tensors = (
        field(2, field(1, name) + field(2, _tensor(array))) for name, array in inputs.items()
    )
    return field(6, field(1, field(1, model) + b"".join(tensors)))


def _tensor(array: np.ndarray) -> bytes:
    """Images as one value for all pixels, which keeps the file small; texts as they are."""
    if array.dtype == object:
        return tf.make_tensor_proto(array, tf.string).SerializeToString(deterministic=True)
    proto = TensorProto(
        dtype=tf.as_dtype(array.dtype).as_datatype_enum,
        tensor_shape=tf.TensorShape(array.shape).as_proto(),
    )
    kind = array.dtype.kind
    values = proto.int_val if kind in "iu" else proto.half_val
    values = {"float32": proto.float_val, "float64": proto.double_val}.get(array.dtype.name, values)
    values.append(0)
    return proto.SerializeToString(deterministic=True)

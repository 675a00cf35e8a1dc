"""The twin of an endpoint that takes image files where the endpoint takes images."""

import tensorflow as tf

from keras_metric.export.saved_models.signatures import Endpoint
from keras_metric.export.saved_models.options import Options
from keras_metric.export.saved_models.pictures import decoder

_FILE_NAMES = {"images": "image_bytes", "left": "left_bytes", "right": "right_bytes"}
_FAR = tf.float32.max
_NO_ANSWER = {"distance": _FAR, "distances": _FAR, "classes": -1, "ids": -1}


def name_of_twin(name: str) -> str:
    return "bytes" if name == "serving_default" else f"{name}_bytes"


def from_files(endpoint: Endpoint, options: Options) -> Endpoint | None:
    """The endpoint behind a decoder, with `valid` beside its answers; None if any size fits.

    Where a file is no image, `valid` is false and the answers are 0, "", false, -1 for a class or
    an id, and the largest float for a distance.
    """
    if any(None in spec.shape[1:] for spec in endpoint.inputs.values()):
        return None
    decoders = {
        name: decoder(
            tuple(spec.shape[1:]),
            spec.dtype.name,
            pixel_range=options.pixel_range,
            max_pixels=options.max_pixels,
        )
        for name, spec in endpoint.inputs.items()
    }

    def answer(**files):
        decoded = {name: decode(files[_FILE_NAMES[name]]) for name, decode in decoders.items()}
        answers = endpoint.answer(**{name: images for name, (images, _) in decoded.items()})
        valid = tf.reduce_all(tf.stack([valid for _, valid in decoded.values()]), axis=0)
        return {"valid": valid, **{k: _where(valid, v, k) for k, v in answers.items()}}

    names = [_FILE_NAMES[name] for name in endpoint.inputs]
    return Endpoint({name: tf.TensorSpec([None], tf.string, name) for name in names}, answer)


def _where(valid, tensor, name: str):
    nothing = _NO_ANSWER.get(name, "" if tensor.dtype == tf.string else 0)
    nothing = tf.cast(nothing, tensor.dtype)
    return tf.where(tf.reshape(valid, [-1] + [1] * (tensor.shape.rank - 1)), tensor, nothing)

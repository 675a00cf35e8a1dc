"""Endpoints that take a batch of any size, none included, and no shape but their own."""

from dataclasses import replace

import tensorflow as tf

from keras_metric.export.saved_models.signatures import Endpoint


def of_any_batch(endpoint: Endpoint) -> Endpoint:
    """The endpoint with float32 answers, an empty one to an empty batch.

    TensorFlow's fused convolutions refuse an empty batch, so one blank item stands in for none and
    its answer is cut off. A server feeds what it is sent: shapes are checked here, in the graph.
    """

    def answer(**inputs):
        shapes = {name: spec.shape for name, spec in endpoint.inputs.items()}
        given = {name: tf.ensure_shape(inputs[name], shape) for name, shape in shapes.items()}
        count = _common_count(given)
        with tf.control_dependencies([count]):  # nothing is computed before the check
            padded = {name: _never_empty(tensor) for name, tensor in given.items()}
        answers = endpoint.answer(**padded)
        return {name: _float32(tensor)[:count] for name, tensor in answers.items()}

    return replace(endpoint, answer=answer)


def _common_count(inputs: dict):
    first, *others = ((name, tf.shape(tensor)[0]) for name, tensor in inputs.items())
    checks = [
        tf.debugging.assert_equal(
            count, first[1], f"The inputs {first[0]} and {name} differ in number."
        )
        for name, count in others
    ]
    with tf.control_dependencies(filter(None, checks)):
        return tf.identity(first[1])


def _never_empty(tensor):
    shape = tf.shape(tensor)
    missing = tf.cast(tf.equal(shape[:1], 0), tf.int32)
    blank = tf.zeros(tf.concat([missing, shape[1:]], axis=0), tensor.dtype)
    return tf.concat([tensor, blank], axis=0)


def _float32(tensor):
    return tf.cast(tensor, tf.float32) if tensor.dtype.is_floating else tensor

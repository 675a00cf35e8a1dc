"""Which weights made an embedding: the same 64 digits for a model wherever it lies and runs."""

import hashlib
from collections.abc import Iterable

import keras
import numpy as np
from keras import ops


def fingerprint(model: keras.Model) -> str:
    """SHA-256, in hexadecimal, of the weights of `model`: their names, shapes, types and values.

    Equal for a model, its saved file loaded again, on any backend, and the SavedModel that
    `keras_metric.export` makes of it, whose `read_metadata(path)["fingerprint"]` it is. The
    fingerprint of a `SiameseNet` or `TripletNet` is that of its encoder (of both, where there are
    two). The names of layers, the states of optimizers, metrics and random generators do not
    count.

    Raises:
        TypeError: not a Keras model.
        ValueError: a model without weights yet, which is called or built first.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"This has no fingerprint. Expected: a keras.Model. Received: {type(model).__name__}."
        )
    return fingerprint_of(model.branches().values() if hasattr(model, "branches") else [model])


def fingerprint_of(networks: Iterable[keras.Model]) -> str:
    """The fingerprint of networks that belong together, in their order."""
    digest = hashlib.sha256()
    for network in networks:
        if not network.built:
            raise ValueError(
                f"Model {network.name!r} has no weights yet. Expected: a model that was built or "
                "called once. Received: one that was not."
            )
        for weight in network.weights:
            values = np.asarray(ops.convert_to_numpy(weight))
            digest.update(f"{weight.name} {values.shape} {values.dtype.name}\n".encode())
            digest.update(_little_endian(values).tobytes())
    return digest.hexdigest()


def _little_endian(values: np.ndarray) -> np.ndarray:
    return values.astype(values.dtype.newbyteorder("<")) if values.dtype.kind in "iuf" else values

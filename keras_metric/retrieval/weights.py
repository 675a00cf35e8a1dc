"""The fingerprint of a model's weights: 64 digits that are equal on every machine and backend."""

import hashlib
from collections.abc import Iterable

import keras
import numpy as np
from keras import ops


def fingerprint(model: keras.Model) -> str:
    """SHA-256, in hexadecimal, of the weights of `model`: their names, shapes, types and values.

    It is equal for a model, for its saved file loaded on any backend, and for the SavedModel that
    `keras_metric.export` makes of it (`read_metadata(path)["fingerprint"]`). The fingerprint of a
    `SiameseNet` or `TripletNet` is that of its encoder (of both if there are two). Names of layers
    and states of optimizers, metrics and random generators do not count.

    Raises:
        TypeError: not a Keras model.
        ValueError: a model without weights; call or build it first.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"This has no fingerprint. Expected: a keras.Model. Received: {type(model).__name__}."
        )
    return fingerprint_of(model.branches().values() if hasattr(model, "branches") else [model])


def fingerprint_of(networks: Iterable[keras.Model]) -> str:
    """The fingerprint of several networks together, in their order."""
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

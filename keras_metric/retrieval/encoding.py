"""The encoder of an index: embeddings of images, and which weights they come from."""

import threading

import keras
import numpy as np

from keras_metric.retrieval.weights import fingerprint


class Encoder:
    """The network, or the two of a `SiameseNet`: the first embeds queries, the last records.

    Raises:
        ValueError: the network has its own distance, and it is not the requested one.
    """

    def __init__(self, model: keras.Model, distance: str | None = None, batch_size: int = 256):
        self.model, self.batch_size = model, batch_size
        self._alone = threading.Lock()  # Keras's `predict` is for one thread at a time
        self.fingerprint = fingerprint(model)
        branches = hasattr(model, "branches")
        self._networks = list(model.branches().values()) if branches else [model]
        own = getattr(model, "distance", None) if branches else None
        self.distance = getattr(own, "__name__", own)
        if self.distance and distance not in (None, self.distance):
            raise ValueError(
                f"The index would measure otherwise than its encoder. Expected: distance="
                f"{self.distance!r}, that of {model.name!r}. Received: {distance!r}."
            )

    def takes(self, items, *, queries: bool, embedded: bool) -> bool:
        """Whether items are inputs of the network; else they are embeddings.

        A matrix is what its width says; where the network's inputs and embeddings are matrices of
        one width, `embedded` says that they are embeddings.

        Raises:
            ValueError: a matrix that is neither, or could be both.
        """
        if np.ndim(items) != 2 or embedded:
            return np.ndim(items) > 2
        network, width = self._networks[0 if queries else -1], np.shape(items)[1]
        wide = _width(network, "output_shape")
        narrow = _width(network, "input_shape") if _rank(network) == 2 else None
        if wide is None or width == wide != narrow:
            return False
        if width == narrow != wide:
            return True
        expected = f"embeddings (N, {wide})" + (f", or inputs (N, {narrow})" if narrow else "")
        if width == narrow:
            expected = "model=..., the model that made the embeddings, or predict(inputs) with it"
        raise ValueError(
            f"It is not clear what these are to {network.name!r}. Expected: {expected}. "
            f"Received: shape {tuple(np.shape(items))}."
        )

    def embedded(self, images, *, queries: bool) -> np.ndarray:
        """Embeddings (N, D) float32 of images (N, H, W, C)."""
        images, network = np.asarray(images), self._networks[0 if queries else -1]
        if not len(images):
            raise ValueError(
                "There are no images. Expected: a batch of one or more. "
                f"Received: shape {images.shape}."
            )
        with self._alone:
            found = np.asarray(network.predict(images, batch_size=self.batch_size, verbose=0))
        if found.ndim != 2:
            raise ValueError(
                f"Model {network.name!r} does not embed. Expected: answers of shape (N, D). "
                f"Received: {found.shape}."
            )
        return found.astype(np.float32)


def _rank(network: keras.Model) -> int | None:
    shape = getattr(network, "input_shape", None)
    return len(shape) if isinstance(shape, tuple) and not isinstance(shape[0], tuple) else None


def _width(network: keras.Model, which: str) -> int | None:
    """The last size of a network's input or output shape, if it has one."""
    shape = getattr(network, which, None)
    return shape[-1] if isinstance(shape, tuple) and isinstance(shape[-1], int) else None


def made_by(model: "keras.Model | str | None") -> str | None:
    """The fingerprint meant by `model`: a network, or a fingerprint itself."""
    return model if model is None or isinstance(model, str) else fingerprint(model)


def refuse_another(known: str | None, given: str | None, who: str) -> None:
    """Raise if two fingerprints are there and differ."""
    if known and given and known != given:
        raise ValueError(
            f"{who} is another model than the one whose embeddings are in the index. Expected: the "
            f"weights with the fingerprint {known[:12]}... Received: {given[:12]}..."
        )

"""Does a map depend on what the model has learned? Shuffle its weights and compare the maps.

Adebayo et al., "Sanity Checks for Saliency Maps", 2018. arXiv:1810.03292
"""

import keras
import numpy as np


def shuffled(model: keras.Model, seed: int = 0) -> keras.Model:
    """A copy of a functional or sequential model with the values of each weight reordered.

    The distribution of the values is the same, but nothing learned remains.
    """
    copy = keras.models.clone_model(model)
    rng = np.random.default_rng(seed)
    copy.set_weights([rng.permutation(w.ravel()).reshape(w.shape) for w in model.get_weights()])
    return copy


def correlation(maps, others) -> np.ndarray:
    """`(B,)` Pearson correlation of each map with its counterpart; 0 where one is constant.

    Near 1 for a method whose maps do not depend on what the model has learned.

    Args:
        maps, others: `(B, H, W)`.

    Raises:
        ValueError: shapes differ.
    """
    maps, others = np.asarray(maps, "float64"), np.asarray(others, "float64")
    if maps.shape != others.shape or maps.ndim < 2:
        raise ValueError(
            f"Maps cannot be compared. Expected: two arrays (B, H, W). Received: {maps.shape} and "
            f"{others.shape}."
        )
    a, b = (_centred(x.reshape(len(x), -1)) for x in (maps, others))
    norms = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return (a * b).sum(1) / np.where(norms > 0, norms, 1)


def _centred(rows: np.ndarray) -> np.ndarray:
    """Rows less their mean; a constant row becomes exactly zero."""
    return np.where(np.ptp(rows, axis=1, keepdims=True) > 0, rows - rows.mean(1, keepdims=True), 0)

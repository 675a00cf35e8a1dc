"""What changes classes of a batch takes: batches of P classes x K images, one after another."""

import numpy as np


def check_share(share: float, images_per_class: int, received: object) -> None:
    """Raises `ValueError`, naming `received`, for a share of classes or a K out of range."""
    if not 0 <= share <= 1 or images_per_class < 1:
        raise ValueError(
            "The change of classes is out of range. Expected share from 0 to 1 and "
            f"images_per_class >= 1. Received: {received}."
        )


def count(images: np.ndarray, images_per_class: int) -> int:
    """P, of a batch of images. Raises `ValueError` for one that is not whole classes."""
    classes, rest = divmod(len(images), images_per_class)
    if rest:
        raise ValueError(
            "The batch is not made of whole classes. Expected a multiple of "
            f"{images_per_class} images. Received: {len(images)}."
        )
    return classes

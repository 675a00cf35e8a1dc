"""faiss, imported when first needed, and the parts of it that all kinds of index share."""

from importlib import import_module

import numpy as np


def faiss():
    """The library.

    Raises:
        ModuleNotFoundError: it is missing; the message names the command that installs it.
    """
    try:
        return import_module("faiss")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "An index on this machine needs faiss. Expected: "
            '`pip install "keras-metric[search]"`. Received: an environment without it.'
        ) from error


def flat(width: int, by_product: bool):
    """An empty exact index of faiss."""
    return faiss().IndexFlatIP(width) if by_product else faiss().IndexFlatL2(width)


def only(mask: np.ndarray):
    """A selector of the rows where `mask` (N,) is true."""
    return faiss().IDSelectorBitmap(np.packbits(mask, bitorder="little"))


def counted(found: np.ndarray) -> np.ndarray:
    """How many neighbours (Q,) each query found; -1 stands for none."""
    return (found >= 0).sum(axis=1)

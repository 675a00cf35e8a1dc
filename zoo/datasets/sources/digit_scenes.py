"""Scenes of scikit-learn's handwritten digits: no download, boxes and a label for every pixel.

    scenes = digit_scenes.load("test", size=128, count=200)
    scenes[0].image, scenes[0].boxes, scenes[0].labels, scenes[0].label_map

No digit that is pasted for one split is pasted for another.
"""

from functools import lru_cache
from typing import Any

from zoo.datasets.scenes.glyphs import Banks, banks, resized
from zoo.datasets.scenes.scenes import Scenes
from zoo.datasets.sources import digits


@lru_cache(maxsize=4)
def digit_banks(side: int = 28) -> Banks:
    """The digits at `side x side` (bicubic from 8 x 8) for training, validation and test."""
    return Banks(*(resized(bank, side) for bank in banks(digits.load())))


def load(
    split: str = "train",
    size: int | tuple[int, int] = 128,
    *,
    side: int = 28,
    count: int = 1000,
    seed: int = 0,
    **options: Any,
) -> Scenes:
    """Scenes of the digits of one split ("train", "validation" or "test").

    `side` is that of a digit at scale 1; `options` are those of `Scenes`, whose seed is 3 `seed`
    plus 0, 1 or 2 for the split, so that no two splits share a layout.

    Raises `ValueError` for another split and what `Scenes` refuses.
    """
    if split not in Banks._fields:
        raise ValueError(
            f"Unknown split. Expected: one of {', '.join(Banks._fields)}. Received: {split!r}."
        )
    bank, number = getattr(digit_banks(side), split), Banks._fields.index(split)
    return Scenes(bank, size, count, len(Banks._fields) * seed + number, **options)

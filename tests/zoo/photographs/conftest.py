"""Small folders of drawn shapes."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

KINDS = ("disc", "square", "triangle", "cross")
COLORS = ((200, 40, 40), (50, 70, 200))


def shape(kind: int, color: tuple, rng: np.random.Generator, side: int = 32) -> Image.Image:
    image = Image.new("RGB", (side, side), tuple(int(v) for v in rng.integers(150, 255, 3)))
    pen, (x, y), s = ImageDraw.Draw(image), rng.integers(2, 10, 2), int(rng.integers(14, 20))
    if kind == 0:
        pen.ellipse((x, y, x + s, y + s), fill=color)
    elif kind == 1:
        pen.rectangle((x, y, x + s, y + s), fill=color)
    elif kind == 2:
        pen.polygon([(x, y + s), (x + s // 2, y), (x + s, y + s)], fill=color)
    else:
        pen.rectangle((x + s // 3, y, x + 2 * s // 3, y + s), fill=color)
        pen.rectangle((x, y + s // 3, x + s, y + 2 * s // 3), fill=color)
    return image


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """A folder with 8 classes of 14 drawings."""
    folder, rng = tmp_path_factory.mktemp("drawn") / "shapes", np.random.default_rng(0)
    for number in range(8):
        place = folder / f"{KINDS[number % 4]}-{number // 4}"
        place.mkdir(parents=True)
        for copy in range(14):
            shape(number % 4, COLORS[number // 4], rng).save(place / f"{copy:02}.png")
    return folder

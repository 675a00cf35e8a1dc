"""Digits set in print: shapes of matplotlib's fonts, in colours, light and noise at random."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo.datasets.images import Images
from zoo.datasets.reading._extras import need

FACES = {  # files of matplotlib's own fonts, in all their weights and slants
    "dejavu": (
        *("DejaVuSans.ttf", "DejaVuSans-*.ttf", "DejaVuSansMono*.ttf"),
        *("DejaVuSerif.ttf", "DejaVuSerif-*.ttf"),
    ),
    "computer modern": ("cmr10.ttf", "cmb10.ttf", "cmss10.ttf", "cmtt10.ttf"),
    "stix": ("STIXGeneral*.ttf",),
}
FINER = 4  # pixels of the stencil to one of the picture, along a side


def load(
    count: int = 100, side: int = 16, *, faces: Sequence[str] = tuple(FACES), seed: int = 0
) -> Images:
    """`count` pictures of each digit, `(10 count, side, side, 3)`, 10 classes.

    A digit has a font of one of the `faces` at random, a size of 65 to 95 % of the picture, a place
    up to 6 % off the middle and a turn of up to 8 degrees. Ink and paper have colours at random, at
    least 60 grey levels apart in brightness; the picture is lit from one side, and has noise.
    Shapes say which digit it is, colours never do.

    Raises:
        ImportError: matplotlib and Pillow are missing (`keras-metric[plots]`).
        ValueError: an unknown face.
    """
    draw = np.random.default_rng(seed)
    fonts = _fonts(faces)
    pictures = [
        _picture(draw, _stencil(draw, str(digit), fonts, side), side)
        for digit in range(10)
        for _ in range(count)
    ]
    labels = np.repeat(np.arange(10), count)
    return Images(np.stack(pictures), labels, tuple(str(digit) for digit in range(10)))


def _fonts(faces: Sequence[str]) -> list[Path]:
    unknown = [face for face in faces if face not in FACES]
    if unknown or not faces:
        raise ValueError(
            f"There is no such face. Expected: some of {', '.join(FACES)}. "
            f"Received: {', '.join(unknown) or 'none'}."
        )
    matplotlib = need("matplotlib", extra="plots", purpose="The printed digits")
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return sorted(file for face in faces for name in FACES[face] for file in folder.glob(name))


def _stencil(draw: np.random.Generator, text: str, fonts: list[Path], side: int) -> np.ndarray:
    """How much of each pixel is ink, `(side, side)` floats of 0..1."""
    drawing = need("PIL.ImageDraw", extra="plots", purpose="The printed digits")
    from PIL import Image, ImageFont

    fine = side * FINER
    height = draw.uniform(0.65, 0.95) * fine
    font = ImageFont.truetype(fonts[draw.integers(len(fonts))], round(height / 0.73))
    page = Image.new("L", (fine, fine), 0)
    middle = tuple(fine * (0.5 + draw.uniform(-0.06, 0.06, 2)))
    left, top, right, bottom = font.getbbox(text)
    corner = (middle[0] - (left + right) / 2, middle[1] - (top + bottom) / 2)
    drawing.Draw(page).text(corner, text, 255, font)
    page = page.rotate(draw.uniform(-8, 8), Image.Resampling.BILINEAR)
    return np.asarray(page, np.float32).reshape(side, FINER, side, FINER).mean((1, 3)) / 255


def _picture(draw: np.random.Generator, stencil: np.ndarray, side: int) -> np.ndarray:
    """Ink on paper, `(side, side, 3)` uint8."""
    while True:
        ink, paper = draw.uniform(0, 255, (2, 3))
        if abs(ink.mean() - paper.mean()) >= 60:
            break
    slope = np.linspace(-1, 1, side)
    light = slope[:, None] * draw.uniform(-30, 30) + slope * draw.uniform(-30, 30)
    cover = stencil[..., None]
    colours = cover * ink + (1 - cover) * paper + light[..., None]
    noisy = colours + draw.normal(0, draw.uniform(0, 12), colours.shape)
    return np.rint(np.clip(noisy, 0, 255)).astype(np.uint8)

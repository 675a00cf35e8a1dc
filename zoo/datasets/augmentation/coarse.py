"""Characters drawn as coarsely as scikit-learn's digits."""

from dataclasses import replace

import numpy as np

from zoo.datasets.images import Images
from zoo.datasets.scenes.glyphs import resized, scaled

CELLS = 8  # of a digit, along each side
INKED = 0.1  # share of the cells that become white


def coarse(characters: Images, side: int) -> Images:
    """White characters on black, on 8 x 8 cells that their ink fills, then at `side x side`.

    The longer side of the ink's box becomes that of the square. A cell is as bright as its share of
    ink, over that of the cell which a tenth of the cells exceed, at most 1: a thin pen writes as
    bright as a thick one.
    """
    small = np.stack([_cells(drawing[..., 0]) for drawing in characters.images])
    return resized(replace(characters, images=small[..., None]), side)


def _cells(drawing: np.ndarray) -> np.ndarray:
    """`(H, W)` uint8 -> `(8, 8)` uint8."""
    rows, columns = (np.flatnonzero(drawing.max(axis)) for axis in (1, 0))
    if not len(rows):
        return np.zeros((CELLS, CELLS), np.uint8)
    ink = drawing[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    room = max(ink.shape) - np.array(ink.shape)
    square = np.pad(ink, [(n // 2, n - n // 2) for n in room])
    cells = scaled(square, CELLS).astype("float32")
    white = max(np.quantile(cells, 1 - INKED), 1)
    return np.rint(255 * np.minimum(cells / white, 1)).astype(np.uint8)

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from zoo.cleaning import duplicates
from zoo.cleaning.duplicates import FINE, SIDE, ZOOMS, Pair, find_pairs, groups_of

pytestmark = pytest.mark.tensorflow  # NumPy alone


def picture(rng, side=96):
    """Soft blobs of random colors."""
    y, x = np.mgrid[:side, :side] / side
    pixels = np.zeros((side, side, 3))
    for _ in range(8):
        (cy, cx), width = rng.random(2), rng.uniform(0.05, 0.25)
        pixels += np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / width**2)[..., None] * rng.random(3)
    return Image.fromarray(np.uint8(pixels / pixels.max() * 180))


def reencoded(image):
    content = io.BytesIO()
    image.save(content, "JPEG", quality=30)
    return Image.open(content)


CHANGES = {
    "re-encoded": reencoded,
    "resized": lambda image: image.resize((50, 50)),
    "cropped": lambda image: image.crop((0, 3, 91, 94)),
    "mirrored": ImageOps.mirror,
    "brightened": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
}


def thumbnail(image):
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def everyone(count):
    """Each row beside all others, at no distance."""
    ids = np.array([[j for j in range(count) if j != i] for i in range(count)])
    return ids, np.zeros(ids.shape)


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_nothing_else(change, rng):
    images = [picture(rng) for _ in range(12)]
    images.append(CHANGES[change](images[4]))
    small = np.stack([thumbnail(image) for image in images])
    pairs = find_pairs(*everyone(13), small, [str(row) for row in range(13)])
    assert [(pair.first, pair.second, pair.exact) for pair in pairs] == [(4, 12, False)]


def test_correlation_is_that_of_the_best_warp_by_plain_loops(rng):
    first, second = (thumbnail(picture(rng)).astype(float) for _ in range(2))

    def piece(image, zoom, down, right, mirror):
        found = np.empty_like(image)
        image = image[:, ::-1] if mirror else image
        for row in range(SIDE):
            for column in range(SIDE):
                y = min(max(down * (1 - zoom) * SIDE + zoom * (row + 0.5) - 0.5, 0), SIDE - 1)
                x = min(max(right * (1 - zoom) * SIDE + zoom * (column + 0.5) - 0.5, 0), SIDE - 1)
                t, s = int(y), int(x)
                b, e = min(t + 1, SIDE - 1), min(s + 1, SIDE - 1)
                top = image[t, s] * (1 - (x - s)) + image[t, e] * (x - s)
                bottom = image[b, s] * (1 - (x - s)) + image[b, e] * (x - s)
                found[row, column] = top * (1 - (y - t)) + bottom * (y - t)
        return found

    best = -1.0
    for moved, still in ((first, second), (second, first)):
        for mirror in (False, True):
            places = [(1.0, 0.0, 0.0)]
            places += [(z, d, r) for z in ZOOMS for d in FINE for r in FINE]
            for zoom, down, right in places:
                warped = piece(moved, zoom, down, right, mirror)
                best = max(best, np.corrcoef(warped.ravel(), still.ravel())[0, 1])
    (found,) = duplicates._correlations(first[None], second[None], duplicates.FINE)
    assert found == pytest.approx(best, abs=1e-5)


def test_equal_files_are_pairs_though_no_neighbors(rng):
    small = np.stack([thumbnail(picture(rng)) for _ in range(4)])
    ids = np.full((4, 3), -1)
    pairs = find_pairs(ids, np.zeros((4, 3)), small, ["a", "b", "a", "a"])
    assert pairs == [Pair(0, 2, 1.0, True), Pair(0, 3, 1.0, True)]


def test_far_neighbors_and_blank_pictures_are_no_pairs(rng):
    small = np.stack([thumbnail(picture(rng))] * 2)
    ids = np.array([[1], [0]])
    assert find_pairs(ids, np.full((2, 1), 0.31), small, ["a", "b"]) == []
    assert len(find_pairs(ids, np.full((2, 1), 0.29), small, ["a", "b"])) == 1
    assert (
        find_pairs(ids, np.zeros((2, 1)), np.full((2, SIDE, SIDE), 9, np.uint8), ["a", "b"]) == []
    )


def test_groups_join_pairs_through_others():
    pairs = [Pair(*rows, 1.0, False) for rows in ((0, 3), (3, 5), (1, 2))]
    assert groups_of(pairs, 7) == [[0, 3, 5], [1, 2]]
    assert groups_of([], 3) == []

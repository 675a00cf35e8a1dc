"""Random parts of photos: against plain loops, and what each option does."""

import numpy as np
import pytest

from zoo.datasets.augmentation.crops import Crop

STILL = {"least": 1.0, "stretch": 0.0, "mirror": False, "gain": 0.0, "shift": 0.0}


@pytest.fixture
def photos(rng):
    return rng.integers(60, 180, (5, 9, 12, 3), dtype=np.uint8)


def drawn(photos, seed=0, **options):
    return Crop(**{**STILL, **options})(np.random.default_rng(seed), photos)


def test_nothing_to_change_changes_nothing(photos):
    np.testing.assert_array_equal(drawn(photos), photos)


def test_the_same_state_gives_the_same_photos(photos):
    every = {"least": 0.6, "stretch": 0.3, "mirror": True, "gain": 0.2, "shift": 20.0}
    assert drawn(photos, 1, **every).shape == photos.shape
    np.testing.assert_array_equal(drawn(photos, 1, **every), drawn(photos, 1, **every))
    assert (drawn(photos, 1, **every) != drawn(photos, 2, **every)).mean() > 0.5


RAMP = np.broadcast_to(np.arange(0, 200, 4, dtype=np.uint8)[:, None], (50, 50))


def slopes(**options):
    """Of a ramp down, 4 a pixel, and of one to the right, which linear reading leaves straight."""
    down, right = drawn(np.stack([RAMP, RAMP.T])[..., None], **options)[..., 0].astype(float)
    assert np.ptp(down, axis=1).max() == np.ptp(right, axis=0).max() == 0
    found = []
    for values in (down[:, 7], right[7]):
        line = np.polyfit(np.arange(50), values, 1)
        assert np.abs(np.polyval(line, np.arange(50)) - values).max() < 1.1  # rounded, clipped rim
        found.append(line[0] / 4)
    return found


def test_pixels_are_read_linearly_from_a_part():
    sides = [side for seed in range(20) for side in slopes(seed=seed, least=0.5)]
    assert 0.49 < min(sides) < 0.6
    assert 0.9 < max(sides) < 1.01
    places = [drawn(RAMP[None, ..., None], seed, least=0.5)[0, 25, 25, 0] for seed in range(20)]
    assert np.ptp(places) > 30


def test_stretched_sides_differ():
    both = np.stack([RAMP, RAMP.T], axis=-1)[None]
    for stretch, least in ((0.0, 0.0), (0.4, 0.13)):
        ratios = []
        for seed in range(20):
            turned = drawn(both, seed, least=0.6, stretch=stretch)[0].astype(float)
            ratios.append(np.log(np.ptp(turned[..., 0]) / np.ptp(turned[..., 1])))
        assert np.std(ratios) >= least
        assert np.abs(ratios).max() <= stretch + 0.05


def test_half_are_mirrored():
    photos = np.zeros((400, 2, 6, 1), np.uint8)
    photos[:, :, 0] = 255
    turned = drawn(photos, mirror=True)
    left, right = turned[:, 0, 0, 0] == 255, turned[:, 0, -1, 0] == 255
    assert (left ^ right).all()
    assert 0.4 < right.mean() < 0.6


def test_light_is_within_its_bounds(photos):
    grey = np.full((300, 2, 2, 3), 100, np.uint8)
    lit = drawn(grey, gain=0.2)[:, 0, 0].astype(int)
    assert lit.min() >= 64
    assert lit.max() <= 144
    assert (np.ptp(lit, axis=1) > 0).mean() > 0.9  # channels differ
    moved = drawn(grey, shift=20)[:, 0, 0].astype(int)
    assert (np.ptp(moved, axis=1) == 0).all()
    assert -20 <= moved.min() - 100 < -15
    assert 15 < moved.max() - 100 <= 20
    bright = np.full((50, 1, 1, 3), 250, np.uint8)
    assert drawn(bright, gain=0.2, shift=20).min() >= 139  # white stays white


@pytest.mark.parametrize(
    "wrong", [{"least": 0.0}, {"least": 1.1}, {"gain": 1.0}, {"stretch": -0.1}, {"shift": -1.0}]
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="The crop is out of range. Expected: 0 < least <= 1"):
        Crop(**wrong)


def test_other_arrays_are_refused(photos):
    for wrong in (photos[..., 0], photos.astype("float32")):
        with pytest.raises(
            ValueError, match=r"These are not photos. Expected: uint8 \(B, H, W, C\)"
        ):
            drawn(wrong)

"""Printed digits: the same for the same seed, of the faces asked for, readable in any colours."""

import numpy as np
import pytest

from zoo.datasets.sources import printed

pytest.importorskip("matplotlib")


def test_pictures_are_drawn_by_seed():
    images = printed.load(3, seed=1)
    assert repr(images).startswith("Images(30 RGB pictures of 16 x 16, classes: 10")
    assert np.bincount(images.labels).tolist() == [3] * 10
    np.testing.assert_array_equal(printed.load(3, seed=1).images, images.images)
    assert (printed.load(3, seed=2).images != images.images).any()


def test_faces_share_no_font_and_every_font_has_the_ten_digits():
    files = {face: printed._fonts([face]) for face in printed.FACES}
    assert min(map(len, files.values())) >= 4
    assert len(set().union(*files.values())) == sum(map(len, files.values()))
    for file in printed._fonts(tuple(printed.FACES)):
        draw = np.random.default_rng(0)
        shapes = [printed._stencil(draw, str(digit), [file], 16) for digit in range(10)]
        assert all(0.03 < shape.mean() < 0.6 for shape in shapes), file
        apart = [np.abs(a - b).mean() for i, a in enumerate(shapes) for b in shapes[:i]]
        assert min(apart) > 0.02, file


def test_ink_stands_out_from_paper():
    for image in printed.load(5, seed=3).images.astype(float):
        grey = image.mean(-1)
        assert np.ptp(grey) >= 40


@pytest.mark.parametrize("faces", [("arial",), ()])
def test_unknown_faces_are_refused(faces):
    with pytest.raises(ValueError, match="Expected: some of dejavu, computer modern, stix"):
        printed.load(1, faces=faces)

"""Frames stand on the pixels of their boxes."""

import numpy as np
import pytest

from keras_metric import plots


def test_a_frame_is_the_border_of_its_box():
    black = np.zeros((40, 50, 3), np.uint8)
    drawn = plots.boxes(black, [(10, 5, 30, 25)])
    lit = np.argwhere(drawn.any(-1))
    assert lit.min(0).tolist() == [5, 10]
    assert (lit.max(0) + 1).tolist() == [25, 30]
    assert not drawn[6:24, 11:29].any()
    assert not black.any()


def test_labels_have_colors_and_the_first_box_lies_on_top():
    grey = np.full((30, 30), 0.5)
    boxes = [(2, 2, 12, 12), (2, 2, 12, 12), (20, 20, 28, 28)]
    drawn = plots.boxes(grey, boxes, labels=[1, 2, 1])
    assert drawn.shape == (30, 30, 3)
    assert drawn[2, 2].tolist() == drawn[20, 20].tolist()
    other = plots.boxes(grey, boxes[:1], labels=[2])
    assert drawn[2, 2].tolist() != other[2, 2].tolist()


def test_captions_are_written_where_they_fit():
    black = np.zeros((80, 120, 1), np.uint8)
    plain = plots.boxes(black, [(20, 30, 100, 70)])
    written = plots.boxes(black, [(20, 30, 100, 70)], captions=["7 0.99"])
    assert written[:30].any()
    assert not plain[:30].any()
    narrow = [(20, 30, 24, 70)]
    np.testing.assert_array_equal(
        plots.boxes(black, narrow, captions=["7 0.99"]), plots.boxes(black, narrow)
    )


def test_no_boxes_and_boxes_beyond_the_border():
    image = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    np.testing.assert_array_equal(plots.boxes(image, []), image)
    assert plots.boxes(image, [(-5, -5, 20, 20)]).shape == image.shape


@pytest.mark.parametrize(
    ("boxes", "options"),
    [
        ([(1, 2, 3)], {}),
        ([(1, 2, 3, 4)], {"labels": [1, 2]}),
        ([(1, 2, 3, 4)], {"captions": []}),
    ],
)
def test_refuses_what_does_not_fit(boxes, options):
    with pytest.raises(ValueError, match="cannot be drawn. Expected"):
        plots.boxes(np.zeros((9, 9, 3), np.uint8), boxes, **options)

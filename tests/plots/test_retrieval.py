"""Pictures: what they refuse, and that what they draw is what they were given."""

import numpy as np
import pytest

from keras_metric import plots
from keras_metric.plots.figures import shown


def test_gallery_frames_hits_and_misses(rng):
    queries = rng.random((2, 8, 8, 1))
    neighbours = rng.random((2, 3, 8, 8, 1))
    hits = np.array([[True, False, True], [False, True, True]])
    figure = plots.gallery(queries, neighbours, hits, captions=["three", "five"])
    framed = [axes for axes in figure.axes if axes.get_title() != "query"]
    colors = [axes.spines["top"].get_edgecolor()[:3] for axes in figure.axes]
    drawn = np.array([color[1] > color[0] for color in colors]).reshape(2, 4)[:, 1:]
    np.testing.assert_array_equal(drawn, hits)
    assert len(framed) == 7
    assert figure.axes[0].get_ylabel() == "three"
    np.testing.assert_allclose(
        figure.axes[1].images[0].get_array(), neighbours[0, 0, ..., 0], rtol=1e-6
    )


def test_gallery_refuses_parts_that_do_not_fit(rng):
    with pytest.raises(ValueError, match=r"Expected: queries.*Received: \(2, 4, 4, 1\)"):
        plots.gallery(rng.random((2, 4, 4, 1)), rng.random((3, 2, 4, 4, 1)), np.ones((3, 2), bool))


def test_projection_draws_every_point_in_its_class(rng):
    labels = np.array([7, 7, 2, 2, 2])
    figure = plots.projection(rng.random((5, 2)), labels, names=list("abcdefgh"))
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    counts = [len(points.get_offsets()) for points in figure.axes[0].collections]
    assert dict(zip(texts, counts, strict=True)) == {"c": 3, "h": 2}


def test_curves_draw_validation_with_training():
    history = [{"loss": 1.0, "val_loss": 1.5}, {"loss": 0.5, "val_loss": 1.0}]
    (axes,) = plots.curves(history).axes
    np.testing.assert_array_equal([line.get_ydata() for line in axes.lines], [[1, 0.5], [1.5, 1]])


def test_histograms_mark_the_threshold(tmp_path):
    figure = plots.distance_histograms([0.1, 0.2], [0.5, 0.9, 1.0], threshold=0.35)
    assert figure.axes[0].lines[0].get_xdata()[0] == 0.35
    figure.savefig(tmp_path / "distances.png")
    assert (tmp_path / "distances.png").stat().st_size > 1000


def test_images_are_shown_as_they_are():
    np.testing.assert_allclose(shown(np.full((2, 2, 1), 51, np.uint8)), np.full((2, 2), 0.2))
    np.testing.assert_allclose(shown(np.full((2, 2, 3), 2.0)), np.ones((2, 2, 3)))


def test_histograms_of_a_collapsed_embedding_are_drawn(tmp_path):
    plots.distance_histograms(np.zeros(3), np.zeros(4)).savefig(tmp_path / "distances.png")


def test_gallery_frames_neutrally_where_nobody_can_say(rng):
    hits = np.array([[True, False, None]])
    figure = plots.gallery(rng.random((1, 4, 4, 1)), rng.random((1, 3, 4, 4, 1)), hits)
    colors = [axes.spines["top"].get_edgecolor() for axes in figure.axes[1:]]
    assert len(set(colors)) == 3
    red, green, blue, _ = colors[2]
    assert red == green == blue

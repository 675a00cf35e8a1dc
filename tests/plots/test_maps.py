"""Pictures of maps: the pixels they are made of, and the files they go to."""

import io
import sys

import numpy as np
import pytest

from keras_metric.plots import files
from keras_metric.plots import maps as plots

colormaps = pytest.importorskip("matplotlib").colormaps


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (8, 6, 3)).astype("uint8")


@pytest.fixture
def heat(rng):
    return rng.random((8, 6))


def test_overlay_mixes_color_and_image(image, heat):
    color = colormaps["jet"](heat / heat.max())[..., :3]
    expected = 0.3 * color + 0.7 * image / 255
    found = plots.overlay(image, heat, alpha=0.3)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found / 255, expected, atol=0.5 / 255 + 1e-9)
    np.testing.assert_array_equal(plots.overlay(image, heat, alpha=0), image)


def test_a_share_of_color_for_each_pixel(image, heat):
    shares = np.linspace(0, 1, 48).reshape(8, 6)
    rows = [plots.overlay(image, heat, alpha=share)[y, x]
            for (y, x), share in np.ndenumerate(shares)]  # fmt: skip
    np.testing.assert_array_equal(plots.overlay(image, heat, alpha=shares).reshape(-1, 3), rows)
    with pytest.raises(ValueError, match=r"alpha=a map \(8, 5\)"):
        plots.overlay(image, heat, alpha=shares[:, :5])


def test_signed_maps_are_white_at_nothing(image, heat):
    signed = heat - heat.mean()
    signed[0, 0] = 0
    found = plots.overlay(image, signed, alpha=1)
    np.testing.assert_allclose(found[0, 0] / 255, colormaps["RdBu_r"](0.5)[:3], atol=0.01)
    strongest = np.unravel_index(np.abs(signed).argmax(), signed.shape)
    end = 1.0 if signed[strongest] > 0 else 0.0
    np.testing.assert_allclose(found[strongest] / 255, colormaps["RdBu_r"](end)[:3], atol=0.01)


def test_a_shared_limit_keeps_magnitudes(image, heat):
    faint, strong = (plots.overlay(image, s * heat, alpha=1, limit=1.0) for s in (0.1, 1.0))
    assert not np.array_equal(faint, strong)
    same = plots.overlay(image, 0.1 * heat, alpha=1)
    np.testing.assert_array_equal(same, plots.overlay(image, heat, alpha=1))


@pytest.mark.parametrize("shape", [(8, 6), (8, 6, 1)])
def test_grey_and_standardised_images_are_pictures(shape, rng, heat):
    image = rng.normal(size=shape)
    found = plots.overlay(image, heat, alpha=0)
    assert found.shape == (8, 6, 3)
    assert (found.min(), found.max()) == (0, 255)


def test_figures_and_files(tmp_path, image, heat):
    images, maps = np.stack([image, image]), np.stack([heat, heat - 0.5])
    figure = plots.comparison(images, {"cam": maps, "gradcam": maps}, titles=["a", "b"])
    assert [a.get_title() for a in figure.axes[:3]] == ["image", "cam", "gradcam"]
    path = files.save_png(figure, tmp_path / "grid.png")
    pillow = pytest.importorskip("PIL.Image")
    with pillow.open(path) as written:
        assert written.size[0] > 300
    back = pillow.open(io.BytesIO(files.png(image)))
    np.testing.assert_array_equal(np.asarray(back), image)
    assert [p.name for p in tmp_path.iterdir()] == ["grid.png"]


def test_lines_join_the_strongest_positive_pairs(image, rng):
    pairs = -rng.random((4, 3, 2, 3))
    pairs[1, 2, 0, 1] = 1.0
    pairs[3, 0, 1, 2] = 0.5
    figure = plots.similarity_lines(image, image, pairs, top=5)
    lines = figure.artists
    assert len(lines) == 2
    weak, strong = lines
    np.testing.assert_allclose(strong.xy1, (2.5 * 2 - 0.5, 1.5 * 2 - 0.5))
    np.testing.assert_allclose(strong.xy2, (1.5 * 2 - 0.5, 0.5 * 4 - 0.5))
    assert strong.get_linewidth() > weak.get_linewidth()


def test_report_is_one_file(tmp_path, image, heat):
    path = files.save_report(
        tmp_path / "maps.html", {"cat <1>": plots.overlay(image, heat)}, title="A & B"
    )
    page = path.read_text()
    assert "cat &lt;1&gt;" in page
    assert "A &amp; B" in page
    assert page.count("data:image/png;base64,") == 1


def test_bad_requests_are_refused(image, heat):
    with pytest.raises(ValueError, match=r"map \(7, 6\)"):
        plots.overlay(image, heat[1:])
    with pytest.raises(ValueError, match="alpha=2"):
        plots.overlay(image, heat, alpha=2)
    with pytest.raises(ValueError, match="Received: 'nocolour'"):
        plots.overlay(image, heat, cmap="nocolour")
    with pytest.raises(ValueError, match="Not an image"):
        plots.overlay(np.zeros((8, 6, 4)), heat)
    with pytest.raises(ValueError, match="No pairs"):
        plots.similarity_lines(image, image, heat)


def test_without_the_extra_the_error_names_the_command(monkeypatch, image, heat):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "keras-metric\[plots\]"'):
        plots.overlay(image, heat)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "keras-metric\[plots\]"'):
        files.png(image)

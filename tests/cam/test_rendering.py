"""From raw maps to the image's size."""

import numpy as np
import pytest
from keras import ops

from keras_metric.cam.rendering import check, rendered, resized, standard_inputs


def run(function, maps, *args, **kwargs):
    return ops.convert_to_numpy(function(ops.convert_to_tensor(maps), *args, **kwargs))


def loops(line, length):
    """Linear interpolation of one line between pixel centres."""
    out = []
    for i in range(length):
        at = min(max((i + 0.5) * len(line) / length - 0.5, 0), len(line) - 1)
        low = min(int(at), len(line) - 1)
        high = min(low + 1, len(line) - 1)
        out.append((1 - (at - low)) * line[low] + (at - low) * line[high])
    return np.array(out)


@pytest.mark.parametrize(("old", "new"), [(4, 9), (7, 7), (5, 3), (1, 4)])
def test_lines_equal_loops(old, new, rng):
    lines = rng.normal(size=(2, old)).astype("float32")
    found = run(resized, lines, (new,))
    np.testing.assert_allclose(found, [loops(line, new) for line in lines], atol=1e-6)


def test_images_equal_half_pixel_bilinear(rng):
    maps = rng.normal(size=(2, 5, 4)).astype("float32")
    expected = ops.image.resize(maps[..., None], (13, 17), interpolation="bilinear")[..., 0]
    found = run(resized, maps, (13, 17))
    np.testing.assert_allclose(found, ops.convert_to_numpy(expected), atol=1e-5)


def test_volumes_are_resized_along_each_axis(rng):
    maps = rng.normal(size=(2, 2, 3, 4)).astype("float32")
    expected = np.apply_along_axis(loops, 1, maps, 5)
    expected = np.apply_along_axis(loops, 2, expected, 6)
    expected = np.apply_along_axis(loops, 3, expected, 7)
    np.testing.assert_allclose(run(resized, maps, (5, 6, 7)), expected, atol=1e-5)


def test_the_default_chain_keeps_no_evidence_black():
    maps = np.stack([-np.ones((2, 2)), np.array([[-3, 1], [0, 2]])]).astype("float32")
    found = run(rendered, maps, (4, 4))
    assert found[0].max() == 0
    assert found[1].min() == 0
    np.testing.assert_allclose(found[1].max(), 1, atol=2e-6)


@pytest.mark.parametrize(
    ("grid", "size"), [((5,), (12,)), ((7, 4), (20, 31)), ((6, 9), (6, 4)), ((2, 3, 4), (5, 6, 9))]
)
@pytest.mark.parametrize("normalize", ["minmax", "max"])
def test_normalizing_before_resizing_equals_normalizing_after(grid, size, normalize, rng):
    maps = rng.normal(size=(40, *grid)).astype("float32")
    places = tuple(range(1, maps.ndim))

    def normalized(x):
        x = x - x.min(places, keepdims=True) if normalize == "minmax" else x
        return x / (np.abs(x).max(places, keepdims=True) + 1e-7)

    expected = normalized(run(resized, normalized(maps), size))
    found = run(rendered, maps, size, relu=False, normalize=normalize)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.max() <= 1
    assert found.min() >= (0 if normalize == "minmax" else -1)


def test_the_default_chain_does_not_see_the_scale_but_none_does(rng):
    maps = rng.normal(size=(1, 3, 3)).astype("float32")
    both = np.concatenate([maps, 10 * maps])
    a, b = run(rendered, both, (6, 6))
    np.testing.assert_allclose(a, b, atol=1e-5)
    a, b = run(rendered, both, (6, 6), relu=False, normalize="none")
    np.testing.assert_allclose(10 * a, b, rtol=1e-5)


def test_max_keeps_signs(rng):
    maps = rng.normal(size=(1, 4, 4)).astype("float32")
    found = run(rendered, maps, (4, 4), relu=False, normalize="max")
    np.testing.assert_allclose(found, maps / np.abs(maps).max(), atol=1e-5)


def test_unknown_normalization_is_refused():
    with pytest.raises(ValueError, match="normalize='l2'"):
        check("l2")


def test_images_become_float32_and_token_numbers_stay():
    image, numbers = standard_inputs([np.zeros((1, 4, 4, 3), "uint8"), np.zeros((1, 4), "int32")])
    assert "float32" in str(image.dtype)
    assert "int32" in str(numbers.dtype)

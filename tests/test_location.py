"""Finding an exemplar in a scene: exact scores, boxes in the scene's pixels, plain refusals."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_metric as km
from keras_metric.boxes import intersection_over_union
from zoo.encoders.layers import UnitLength

SIDE = 12


def features(padding: str):
    return [
        keras.Input((SIDE, SIDE, 1)),
        layers.Conv2D(6, 3, padding=padding, activation="tanh"),
        layers.MaxPooling2D(),
        layers.Conv2D(8, 3, padding=padding, activation="tanh"),
    ]


HEADS = {
    "average": [layers.GlobalAveragePooling2D, lambda: layers.Dense(64)],
    "flatten": [layers.Flatten, lambda: layers.Dense(64)],
    "unit length": [layers.Flatten, lambda: layers.Dense(64), UnitLength],
    "normalized": [layers.Flatten, lambda: layers.Dense(64), layers.UnitNormalization],
}


def encoder(head: str = "flatten", padding: str = "valid") -> keras.Model:
    return keras.Sequential([*features(padding), *(make() for make in HEADS[head])])


def glyph(rng) -> np.ndarray:
    """A blocky shape that resizing hardly changes, `(SIDE, SIDE, 1)`."""
    return np.kron(rng.uniform(0, 1, (3, 3)), np.ones((4, 4)))[..., None].astype("float32")


def scene_with(rng, picture, left: int, top: int, size=(40, 46)) -> np.ndarray:
    scene = rng.uniform(0, 1, (*size, 1)).astype("float32")
    scene[top : top + len(picture), left : left + picture.shape[1]] = picture
    return scene


def cosine(a, b) -> float:
    a, b = (np.ravel(ops.convert_to_numpy(x)).astype("float64") for x in (a, b))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("head", HEADS)
def test_every_score_is_that_of_the_window_alone(head, rng):
    net, exemplar = encoder(head), glyph(rng)
    scene = scene_with(rng, exemplar, left=14, top=8)
    found = km.locate(net, exemplar, scene, scales=[1.0], top=6)
    assert found[0].box == (14, 8, 26, 20)
    assert found[0].score == pytest.approx(1, abs=1e-5)
    for (left, top, right, bottom), score, _ in found:
        window = scene[int(top) : int(bottom), int(left) : int(right)]
        assert score == pytest.approx(cosine(net(exemplar[None]), net(window[None])), abs=1e-5)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_other_distances_score_one_minus_distance(rng):
    net, exemplar = encoder(), glyph(rng)
    scene = scene_with(rng, exemplar, 14, 8)
    far = km.locate(net, exemplar, scene, scales=[1.0], distance="manhattan", top=5)[-1]
    left, top, right, bottom = map(int, far.box)
    pair = [exemplar, scene[top:bottom, left:right]]
    a, b = (ops.convert_to_numpy(net(picture[None])) for picture in pair)
    assert far.score == pytest.approx(1 - np.abs(a - b).sum(), rel=1e-4)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_the_scale_of_the_object_is_found(scale, rng):
    net, exemplar = encoder(), glyph(rng)
    side = int(SIDE * scale)
    shown = np.kron(exemplar[::4, ::4, 0], np.ones((side // 3, side // 3)))[..., None]
    scene = scene_with(rng, shown, left=28, top=20, size=(60, 72))
    best = km.locate(net, exemplar, scene, scales=[0.5, 1.0, 2.0])[0]
    assert best.scale == scale
    expected = np.array([[28, 20, 28 + side, 20 + side]], "float64")
    assert intersection_over_union(np.array([best.box]), expected)[0, 0] > 0.6


def test_an_encoder_that_pads_finds_what_has_a_margin(rng):
    exemplar = np.pad(glyph(rng)[2:-2, 2:-2], ((2, 2), (2, 2), (0, 0)))
    scene = np.zeros((40, 46, 1), "float32")
    scene[8:20, 14:26] = exemplar
    best = km.locate(encoder("average", "same"), exemplar, scene, scales=[1.0])[0]
    assert best.box == (14, 8, 26, 20)
    assert best.score == pytest.approx(1, abs=1e-5)


def test_boxes_have_the_shape_of_the_exemplar(rng):
    exemplar = np.repeat(glyph(rng), 2, axis=1)
    scene = scene_with(rng, exemplar, left=20, top=10, size=(40, 60))
    best = km.locate(encoder(), exemplar, scene, scales=[1.0])[0]
    assert best.box == pytest.approx((20, 10, 44, 22))


def test_batches_and_several_exemplars(rng):
    net, shapes = encoder(), np.stack([glyph(rng), glyph(rng)])
    scenes = np.stack([scene_with(rng, shapes[0], 14, 8), scene_with(rng, shapes[1], 2, 20)])
    locator = km.Locator(net, scales=[0.8, 1.0])
    alone = [locator(shapes[0], scene) for scene in scenes]
    together = locator(shapes[0], scenes)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose([x.box for x in one], [x.box for x in other], atol=1e-4)
    best = locator(shapes, scenes, top=1)
    assert [found[0].box for found in best] == [(14, 8, 26, 20), (2, 20, 14, 32)]
    mean = locator(shapes, scenes[0], combine="mean", top=1)[0]
    seen = list(locator.scan(scenes[0]))
    each = [[x.values for x in locator.compare(locator.embed(one), seen)] for one in shapes]
    expected = max(((a + b) / 2).max() for a, b in zip(*each, strict=True))
    assert mean.score == pytest.approx(expected, abs=1e-5)


def test_boxes_do_not_overlap_and_reach_the_threshold(rng):
    scene, exemplar = rng.uniform(0, 1, (50, 50, 1)), glyph(rng)
    found = km.locate(encoder(), exemplar, scene, overlap=0.2, threshold=0.9, top=50)
    boxes = np.array([one.box for one in found])
    assert len(found) > 2
    assert min(one.score for one in found) >= 0.9
    between = intersection_over_union(boxes, boxes) - np.eye(len(boxes))
    assert between.max() <= 0.2
    assert km.locate(encoder(), exemplar, scene, threshold=1.5) == []


def test_finer_cells_find_odd_places(rng):
    exemplar = glyph(rng)
    scene = scene_with(rng, exemplar, left=13, top=7)
    best = km.locate(encoder(), exemplar, scene, scales=[1.0], densify=2)[0]
    assert best.box == (13, 7, 25, 19)
    assert best.score == pytest.approx(1, abs=1e-5)


def test_an_encoder_of_any_size_takes_the_exemplars(rng):
    net = keras.Sequential([keras.Input((None, None, 1)), *features("valid")[1:]])
    net.add(layers.GlobalAveragePooling2D())
    exemplar = glyph(rng)
    best = km.locate(net, exemplar, scene_with(rng, exemplar, 14, 8), scales=[1.0])[0]
    assert best.box == (14, 8, 26, 20)


def test_score_map_is_the_best_score_around_each_pixel(rng):
    net, exemplar = encoder(), glyph(rng)
    scene = scene_with(rng, exemplar, 14, 8)
    locator = km.Locator(net, scales=[1.0])
    heat = locator.score_map(exemplar, scene)
    assert heat.shape == scene.shape[:2]
    seen = np.isfinite(heat)
    rows, columns = seen.any(1), seen.any(0)
    assert (seen == rows[:, None] & columns).all()
    assert not rows[[0, 3, -4, -1]].any()
    assert rows[8:-8].all()
    assert columns[8:-8].all()
    y, x = np.unravel_index(np.nanargmax(heat), heat.shape)
    assert abs(y - 14) <= 1
    assert abs(x - 20) <= 1
    best = locator(exemplar, scene, top=1)[0]
    assert np.nanmax(heat) == pytest.approx(best.score)
    both = km.Locator(net, scales=[1.0, 2.0]).score_map(exemplar, scene[None])[0]
    assert (both >= heat)[seen].all()


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_tiles_find_what_the_whole_scene_does(padding, rng):
    net, exemplar = encoder("flatten", padding), glyph(rng)
    scene = scene_with(rng, exemplar, 74, 30, size=(90, 131))
    whole, tiled = (km.Locator(net, scales=[1.0, 2.0], tile=n) for n in (None, 50))
    expected, found = (list(locator.scan(scene)) for locator in (whole, tiled))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other.values, one.values, atol=1e-5)
    assert tiled(exemplar, scene)[0].box == whole(exemplar, scene)[0].box


def test_maps_of_a_scene_serve_many_exemplars(rng):
    net, shapes = encoder(), [glyph(rng), glyph(rng)]
    scene = scene_with(rng, shapes[1], 14, 8)
    locator = km.Locator(net)
    seen = list(locator.scan(scene))
    assert [level.values.ndim for level in seen] == [3, 3, 3]
    for shape in shapes:
        levels = locator.compare(locator.embed(shape), seen)
        found = km.location.find(levels, threshold=None, overlap=0.3, top=10)
        assert found == locator(shape, scene)


@pytest.mark.parametrize(
    ("exemplar", "scene", "options", "words"),
    [
        ((12, 12), (40, 40, 1), {}, r"exemplar does not fit.*Received: shape \(12, 12\)"),
        ((12, 12, 1), (40, 40), {}, r"scene does not fit.*Received: shape \(40, 40\)"),
        ((12, 12, 1), (40, 40, 3), {}, r"scene does not fit.*, 1\).*shape \(40, 40, 3\)"),
        ((12, 12, 3), (40, 40, 1), {}, "exemplar does not fit"),
        ((0, 12, 12, 1), (40, 40, 1), {}, "none empty"),
        ((12, 12, 1), (40, 0, 1), {}, "none empty"),
        ((30, 30, 1), (20, 40, 1), {}, r"larger than the scene.*30 x 30.*20 x 40, scales 0.8"),
        ((12, 12, 1), (40, 40, 1), {"scales": []}, "Expected: positive numbers"),
        ((12, 12, 1), (40, 40, 1), {"scales": [1.0, -1.0]}, "Expected: positive numbers"),
        ((12, 12, 1), (40, 40, 1), {"top": 0}, "top is out of range. Expected: an int"),
        ((12, 12, 1), (40, 40, 1), {"top": 2.5}, "Received: top=2.5"),
        ((12, 12, 1), (40, 40, 1), {"threshold": float("nan")}, "threshold is out of range"),
        ((12, 12, 1), (40, 40, 1), {"threshold": "high"}, "Received: threshold='high'"),
        ((12, 12, 1), (40, 40, 1), {"scales": [1, 1e-6]}, r"too fine.*Received: 1e-06, 1,600,000"),
        ((12, 12, 1), (40, 40, 1), {"overlap": 1.5}, "overlap is out of range.*from 0 to 1"),
        ((12, 12, 1), (40, 40, 1), {"combine": "worst"}, "Expected: one of best, mean"),
        ((12, 12, 1), (40, 40, 1), {"distance": "cosin"}, "did you mean 'cosine'"),
    ],
)
def test_refusals(exemplar, scene, options, words):
    with pytest.raises(ValueError, match=words):
        km.locate(encoder(), np.ones(exemplar), np.ones(scene), **options)


def test_an_encoder_of_pairs_is_refused():
    a, b = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    net = keras.Model([a, b], layers.Flatten()(layers.Add()([a, b])))
    with pytest.raises(ValueError, match="one image .* in and one vector out. Received: 2 inputs"):
        km.Locator(net)

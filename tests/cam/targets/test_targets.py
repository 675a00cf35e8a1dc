"""What may be explained besides a class: scores and maps against closed forms in float64."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.cam import CAM, METHODS, targets

SIZE = (13, 9)
BOX = (2.0, 3.0, 7.0, 10.0)


def trunk():
    x = keras.Input((*SIZE, 3))
    return x, layers.Conv2D(5, 3, strides=2, activation="relu", name="map")(x)


def classifier(units=4, **options):
    x, h = trunk()
    bias = keras.initializers.RandomNormal(seed=3)
    dense = layers.Dense(units, bias_initializer=bias, **options)
    return keras.Model(x, dense(layers.GlobalAveragePooling2D()(h)))


def embedder():
    x, h = trunk()
    h = layers.Dense(4, bias_initializer=keras.initializers.RandomNormal(seed=3))(
        layers.GlobalAveragePooling2D()(h)
    )
    return keras.Model(x, layers.UnitNormalization()(h))


def segmenter():
    x, h = trunk()
    return keras.Model(x, layers.Conv2D(3, 1, activation="softmax", name="classes")(h))


def detector():
    """Four boxes, a strip of the image each, whose scores are read from a row of cells each."""
    x, h = trunk()
    rows = layers.AveragePooling2D((1, 4))(layers.ZeroPadding2D(((0, 2), (0, 0)))(h))
    rows = layers.Reshape((8, 5))(rows)[:, :4]
    scores = layers.Dense(3, name="scores")(rows)
    strips = np.array([[0, 3 * i, 9, 3 * i + 3] for i in range(4)], "float32")
    boxes = layers.Dense(4, name="boxes", kernel_initializer="zeros")(rows) + strips
    return keras.Model(x, {"scores": scores, "boxes": boxes})


@pytest.fixture
def images(rng):
    return rng.normal(size=(2, *SIZE, 3)).astype("float32")


def parts(model, images):
    """Activation `(B, h, w, K)`, kernel `(K, C)` and bias of the last layer with weights."""
    inner = keras.Model(model.input, model.get_layer("map").output)
    last = [layer for layer in model.layers if layer.weights][-1]
    kernel, bias = (ops.convert_to_numpy(w).astype("float64") for w in last.weights)
    a = ops.convert_to_numpy(inner(images)).astype("float64")
    return a, kernel.reshape(-1, kernel.shape[-1]), bias


VECTOR = np.array([1.0, -2.0, 0.5, 3.0])


def expected(name, model, images):
    """The map `(B, h, w)` that adds up, in the mean, to the score less what the bias gives it."""
    a, w, b = parts(model, images)
    every = a @ w
    if name == "difference":
        return every[..., 3] - every[..., 1], (every + b).mean((1, 2))[:, [3]] - (every + b).mean(
            (1, 2)
        )[:, [1]]
    if name == "opposite":
        return -every[..., 2], -(every + b).mean((1, 2))[:, [2]]
    embedding = (every + b).mean((1, 2))
    unit = VECTOR / np.linalg.norm(VECTOR)
    length = np.linalg.norm(embedding, axis=-1)
    return every @ unit / length[:, None, None], (embedding @ unit / length)[:, None]


TARGETS = {
    "difference": (classifier, targets.Difference(3, 1)),
    "opposite": (lambda: classifier(activation="sigmoid"), targets.Opposite(2)),
    "vector": (embedder, targets.Vector(VECTOR)),
}


@pytest.mark.parametrize("name", TARGETS)
def test_exact_maps_and_scores_equal_closed_forms(name, images):
    build, target = TARGETS[name]
    model = build()
    cam = CAM(model)
    heat, score = expected(name, model, images)
    np.testing.assert_allclose(cam(images, target, raw=True), heat, atol=1e-5)
    np.testing.assert_allclose(cam.explain(images, target).scores, score[:, 0], atol=1e-5)
    gradient = CAM(model, "hirescam")(images, target, raw=True)
    np.testing.assert_allclose(gradient, heat / np.prod(heat.shape[1:]), atol=1e-6)
    for method in ("cam", "gradcam", "hirescam", "integrated-gradients"):
        found = CAM(model, method).completeness(images, target)
        tolerance = 3e-3 if method == "integrated-gradients" else 1e-5  # ReLU bends on the way
        assert np.abs(found.residual).max() < tolerance


def test_numbers_by_another_name_are_the_class(images):
    cam = CAM(classifier())
    every = cam(images, "all")
    for target in (targets.Class(2), targets.Dimension(2), targets.Output(2)):
        np.testing.assert_allclose(cam(images, target), every[:, 2], atol=1e-6)
    each = cam(images, targets.Class([3, 1]))
    np.testing.assert_allclose(each, every[[0, 1], [3, 1]], atol=1e-6)


def covered():
    """Cells of the (6, 4) answer that BOX covers, each by its share."""
    share = np.zeros((6, 4))
    for y in range(6):
        for x in range(4):
            down = min(BOX[3], (y + 1) * 13 / 6) - max(BOX[1], y * 13 / 6)
            across = min(BOX[2], (x + 1) * 9 / 4) - max(BOX[0], x * 9 / 4)
            share[y, x] = max(down, 0) * max(across, 0)
    return share / share.sum()


@pytest.mark.parametrize("kind", ["box", "mask", "mask of the answer", "a mask for each"])
def test_a_place_of_a_segmenter_is_a_mean_over_its_cells(kind, images):
    model = segmenter()
    a, w, b = parts(model, images)
    share = np.stack([covered()] * 2)
    if kind == "box":
        target = targets.Box(BOX, 2)
    elif kind == "mask":
        mask = np.zeros(SIZE)
        mask[3:10, 2:7] = 1
        target = targets.Mask(mask, 2)
    else:
        share = np.zeros((2, 6, 4))
        share[:, 2, 1:3] = 0.5
        share[1] = share[1, ::-1] if kind != "mask of the answer" else share[1]
        target = targets.Mask(share[0] > 0 if kind == "mask of the answer" else share > 0, 2)
    score = ((a @ w + b)[..., 2] * share).sum((1, 2))
    heat = (a @ w)[..., 2] * share * 24
    cam = CAM(model)
    found = cam.explain(images, target)
    np.testing.assert_allclose(found.scores, score, atol=1e-5)
    np.testing.assert_allclose(found.raw, heat, atol=1e-5)
    assert np.abs(cam.completeness(images, target).residual).max() < 1e-5
    gradient = CAM(model, "hirescam")(images, target, raw=True)
    np.testing.assert_allclose(gradient, heat / 24, atol=1e-5)


def test_a_box_of_a_detector_is_the_listed_one_that_overlaps_most(images):
    model = detector()
    cam = CAM(model, "hirescam", output="scores", relu=False, normalize="none")
    target = targets.Box((0, 5, 9, 9), 1, boxes="boxes")  # the third strip is 6 to 9
    found = cam.explain(images, target)
    scores = ops.convert_to_numpy(model(images)["scores"])
    np.testing.assert_allclose(found.scores, scores[:, 2, 1], atol=1e-5)
    by_function = targets.Box((0, 5, 9, 9), 1, boxes=lambda outputs: outputs["boxes"])
    np.testing.assert_allclose(cam(images, by_function), found.maps, atol=1e-6)
    exact = cam.completeness(images, target)
    assert np.abs(exact.residual).max() < 1e-5


def test_cam_takes_a_function_that_is_linear_and_refuses_others(images):
    model = classifier()
    cam = CAM(model)
    every = cam(images, "all", raw=True)
    found = cam(images, lambda a: 2 * a[:, 3] - a[:, 1] + 5, raw=True)
    np.testing.assert_allclose(found, 2 * every[:, 3] - every[:, 1], atol=1e-5)
    with pytest.raises(ValueError, match="linear in the answer. Received: margin; use 'gradcam'"):
        cam(images, margin)
    assert CAM(model, "gradcam")(images, margin).shape == (2, *SIZE)


def margin(answer):
    return ops.relu(answer[:, 0] - answer[:, 1])


QUICK = ("scorecam", "ablationcam", "fullgrad", "occlusion", "shapleycam")


@pytest.mark.parametrize(
    "method",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name, method in METHODS.items()
        if method.needs != "attention"
    ],
)
def test_every_method_takes_every_target(method, images):
    seg, options = segmenter(), {"relu": False, "normalize": "none", "samples": 4}
    for model, target in (
        (classifier(), targets.Difference(0, 2)),
        (seg, targets.Box(BOX, 1)),
        (seg, targets.Mask(np.eye(*SIZE), [0, 2])),
    ):
        found = CAM(model, method, **options).explain(images, target)
        assert found.maps.shape == (2, *SIZE)
        assert np.isfinite(found.maps).all()
        assert np.isfinite(found.scores).all()


def test_occlusion_of_a_difference_is_the_difference_of_occlusions(images):
    cam = CAM(classifier(), "occlusion", relu=False, normalize="none")
    difference = cam(images, 3) - cam(images, 1)
    np.testing.assert_allclose(cam(images, targets.Difference(3, 1)), difference, atol=1e-5)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (lambda: targets.Class(4), "No such target: class 4. Expected: numbers from 0 to 3"),
        (lambda: targets.Difference(1, -1), "No such target: class 1 minus class -1"),
        (lambda: targets.Opposite(0.5), "No such target: not class 0.5"),
        (lambda: targets.Class([1, 2, 3]), "Expected: one number, or one for each image. Received"),
        (lambda: targets.Vector(np.ones(5)), "as many dimensions as the embedding has, 4. Receiv"),
        (lambda: targets.Vector(np.zeros(4)), "No direction to compare with"),
        (lambda: targets.Mask(np.zeros(SIZE), 1), "The mask is empty"),
        (lambda: targets.Mask(np.ones(SIZE), 1), "no places to choose from for class 1 inside a"),
        (lambda: targets.Box(BOX, 1), "no places to choose from for class 1 in the box"),
        (
            lambda: targets.Box((3, 2, 3, 5), 1),
            "No such box. Expected: \\(left, top, right, bottom",
        ),
        (lambda: targets.Box((20, 2, 30, 5), 1), "lies outside the image. Expected: pixels of an"),
    ],
)
def test_targets_that_do_not_exist_are_refused(target, told, images):
    with pytest.raises(ValueError, match=told):
        CAM(classifier())(images, target())


def test_a_mask_of_another_size_is_refused(images):
    with pytest.raises(ValueError, match=r"another size. Expected: that of the image, \(13, 9\)"):
        CAM(segmenter())(images, targets.Mask(np.ones((5, 5)), 1))


def test_a_second_class_of_a_single_unit_names_the_other_side(images):
    with pytest.raises(ValueError, match=r"other side of a single unit, Opposite\(\)"):
        CAM(classifier(1, activation="sigmoid"))(images, 1)


def test_what_the_numbers_are_is_known_from_the_last_activation():
    assert CAM(classifier(activation="softmax")).kind == "class"
    assert CAM(classifier(1, activation="sigmoid")).kind == "class"
    assert CAM(embedder()).kind == "dimension"
    assert CAM(classifier()).kind == "output"

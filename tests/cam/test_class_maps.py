"""`CAM`: what may be asked for, and what a call must leave alone."""

import gc
import threading
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.cam import CAM, METHODS
from keras_metric.cam.network.hooks import operations


def classifier(activation="softmax"):
    return keras.Sequential(
        [
            keras.Input((12, 10, 3)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(6, 3, strides=2, activation="relu", name="last"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(5, activation=activation),
        ]
    )


@pytest.fixture
def images(rng):
    return rng.normal(size=(3, 12, 10, 3)).astype("float32")


def test_ways_to_name_classes(images):
    model = classifier()
    cam = CAM(model)
    every = cam(images, "all")
    assert every.shape == (3, 5, 12, 10)
    best = ops.convert_to_numpy(model(images)).argmax(1)
    np.testing.assert_allclose(cam(images), every[np.arange(3), best], atol=1e-6)
    np.testing.assert_allclose(cam(images, 2), every[:, 2], atol=1e-6)
    np.testing.assert_allclose(cam(images, [4, 0, 1]), every[[0, 1, 2], [4, 0, 1]], atol=1e-6)
    pairs = cam(images, [[4, 0], [0, 1], [1, 1]])
    np.testing.assert_allclose(pairs[1], every[1, [0, 1]], atol=1e-6)


def test_top_classes_come_with_their_scores_before_softmax(images):
    model = classifier()
    found = CAM(model, "gradcam").explain(images, "top2")
    p = ops.convert_to_numpy(model(images))
    order = np.argsort(-p, axis=1)[:, :2]
    np.testing.assert_array_equal(found.classes, order)
    gap = np.log(np.take_along_axis(p, order, 1))
    np.testing.assert_allclose(
        found.scores[:, 0] - found.scores[:, 1], gap[:, 0] - gap[:, 1], atol=1e-4
    )
    assert found.layer == "last"
    assert found.raw.shape == (3, 2, 4, 3)


@pytest.mark.parametrize("method", ["cam", "gradcam", "fullgrad"])
def test_a_function_of_the_answer_can_be_explained(method, images):
    cam = CAM(classifier(), method, relu=False, normalize="none")

    def difference(answer):
        return answer[:, 3] - answer[:, 1]

    found = cam(images, difference)
    if method != "fullgrad":
        np.testing.assert_allclose(found, cam(images, 3) - cam(images, 1), atol=1e-6)
    assert found.shape == (3, 12, 10)


@pytest.mark.parametrize("classes", [5, -1, [0, 1], "best", "top6", 1.0, [[0], [1]], "topless"])
def test_classes_that_do_not_exist_are_refused(classes, images):
    with pytest.raises(ValueError, match="No such classes"):
        CAM(classifier())(images, classes)


def test_layers_are_chosen_by_name_or_object(images):
    model = classifier()
    first = CAM(model, "layercam", model.layers[0])
    assert first.layer is model.layers[0]
    named = CAM(model, "layercam", model.layers[0].name)
    np.testing.assert_array_equal(named(images), first(images))
    assert CAM(model, "layercam", "last")(images, raw=True).shape == (3, 4, 3)
    with pytest.raises(ValueError, match="mixes positions"):
        CAM(model, "cam", model.layers[0])
    with pytest.raises(ValueError, match="no layers of the name 'nothing'"):
        CAM(model, layer="nothing")
    with pytest.raises(ValueError, match="does not run"):
        CAM(model, layer=layers.ReLU())
    with pytest.raises(ValueError, match="no positions"):
        CAM(model, "gradcam", model.layers[-1])


def test_unknown_options_are_refused():
    for options in ({"smooth": "blur"}, {"samples": 0}, {"normalize": "l1"}, {"method": "cams"}):
        with pytest.raises(ValueError, match="Expected"):
            CAM(classifier(), **options)
    with pytest.raises(ValueError, match="output='kind'"):
        CAM(classifier(), output="kind")


def all_methods():
    """Compiling on JAX takes seconds a method: the ordinary run has three there."""
    quick = {"cam", "hirescam", "ablationcam"}
    names = [
        name for name, method in METHODS.items() if method.needs not in ("attention", "relevance")
    ]
    slow = set(names) - quick if keras.backend.backend() == "jax" else set()
    return [pytest.param(m, marks=[pytest.mark.slow] if m in slow else []) for m in names]


@pytest.mark.parametrize("method", all_methods())
def test_a_call_changes_nothing(method, images):
    model = classifier()
    model.layers[0].trainable = False
    weights = [np.array(w) for w in model.get_weights()]
    flags = [layer.trainable for layer in model.layers]
    cam = CAM(model, method)
    first = cam(images)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert [layer.trainable for layer in model.layers] == flags
    assert all("call" not in vars(layer) for layer in operations(model))
    assert model.layers[-1].activation is keras.activations.softmax
    np.testing.assert_allclose(ops.convert_to_numpy(model(images)).sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(cam(images), first)
    np.testing.assert_allclose(cam(images[1:2])[0], first[1], atol=1e-4)


def test_new_weights_are_seen_without_building_again(images):
    model = classifier()
    cam = CAM(model)
    before = cam(images, 0, raw=True)
    model.layers[-1].kernel.assign(2 * ops.convert_to_tensor(model.layers[-1].kernel))
    np.testing.assert_allclose(cam(images, 0, raw=True), 2 * before, rtol=1e-5)
    model.layers[0].kernel.assign(0 * ops.convert_to_tensor(model.layers[0].kernel))
    assert np.ptp(cam(images, 0, raw=True), axis=(1, 2)).max() < 1e-6


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch traces nothing")
@pytest.mark.parametrize("method", ["cam", "gradcam"])
def test_the_model_is_traced_once(method, images):
    calls = []

    class Counted(layers.Layer):
        def call(self, x):
            calls.append(1)
            return x

    x = keras.Input((12, 10, 3))
    h = layers.Conv2D(4, 3, name="last")(Counted()(x))
    model = keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling2D()(h)))
    cam = CAM(model, method)
    cam(images)
    seen = len(calls)
    for classes in (0, 1, [0, 1, 2], None):
        cam(images + 1, classes)
    assert len(calls) == seen


def test_threads_do_not_disturb_one_another(images):
    model = classifier()
    cams = {name: CAM(model, name) for name in ("cam", "gradcam")}
    expected = {name: cam(images) for name, cam in cams.items()}
    answer = ops.convert_to_numpy(model(images))
    wrong = []

    def explain(name):
        for _ in range(2):
            found = CAM(model, name)(images)
            if np.abs(found - expected[name]).max() > 1e-5:
                wrong.append(name)

    def predict():
        for _ in range(20):
            if np.abs(ops.convert_to_numpy(model(images)) - answer).max() > 1e-5:
                wrong.append("model")

    threads = [threading.Thread(target=explain, args=(name,)) for name in cams]
    threads += [threading.Thread(target=predict) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def free_after(models, images):
    alive = []
    for _ in range(models):
        model = classifier()
        CAM(model)(images)
        CAM(model, "gradcam")(images)
        alive.append(weakref.ref(model))
        del model
    gc.collect()
    return sum(ref() is not None for ref in alive)


def test_models_are_freed(images):
    free_after(1, images)
    assert free_after(2, images) == 0


@pytest.mark.slow
def test_a_thousand_models_are_freed(images):
    assert free_after(1000, images) <= 2


def test_smoothing_by_flips_is_the_mean_of_both(images):
    model = classifier()
    raw = CAM(model, "hirescam")
    plain, flipped = raw(images, 1, raw=True), raw(images[:, :, ::-1].copy(), 1, raw=True)
    found = CAM(model, "hirescam", smooth="flips")(images, 1, raw=True)
    np.testing.assert_allclose(found, (plain + flipped[..., ::-1]) / 2, atol=1e-6)


def test_smoothing_by_noise_is_repeatable_and_tends_to_the_map(images):
    model = classifier()
    noisy = CAM(model, smooth="noise", samples=3, seed=7)
    np.testing.assert_array_equal(noisy(images), noisy(images))
    little = CAM(model, smooth="noise", noise=1e-6)(images, raw=True)
    np.testing.assert_allclose(little, CAM(model)(images, raw=True), atol=1e-3)
    assert np.abs(noisy(images) - CAM(model)(images)).max() > 1e-3


def test_random_weights_change_the_map(images):
    """The sanity check of Adebayo et al. 2018 (arXiv:1810.03292) on the last layer."""
    model = classifier()
    cam = CAM(model, relu=False, normalize="max")
    before = cam(images, 0)
    kernel = model.layers[-1].kernel
    kernel.assign(np.random.default_rng(9).normal(size=kernel.shape))
    assert np.abs(cam(images, 0) - before).max() > 0.1


def test_probabilities_without_a_softmax_layer_are_told(images):
    x = keras.Input((12, 10, 3))
    h = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))
    model = keras.Model(x, layers.Lambda(lambda z: ops.softmax(z))(layers.Dense(3)(h)))
    with pytest.warns(UserWarning, match="look like probabilities"):
        CAM(model, "gradcam")

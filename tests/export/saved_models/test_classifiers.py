"""Classifiers are exported with labels, and with the maps behind their scores."""

import shutil

import keras
import numpy as np
import pytest

from keras_metric.export import Runtime, saved_model
from keras_metric.export.saved_models.linear_heads import pooled_head

layers = keras.layers
LABELS = ["zero", "éin", "two words", "three", "four", "five", "six"]


def classifier(*head) -> keras.Model:
    keras.utils.set_random_seed(2)
    body = [layers.Conv2D(6, 3, strides=2, activation="relu"), layers.BatchNormalization()]
    return keras.Sequential([keras.Input((16, 12, 3)), *body, *head])


def pooled(**dense) -> keras.Model:
    return classifier(
        layers.GlobalAveragePooling2D(), layers.Dropout(0.3), layers.Dense(7, **dense)
    )


@pytest.fixture(scope="module")
def model():
    return pooled(activation="softmax", bias_initializer="random_normal")


@pytest.fixture(scope="module")
def served(model, tmp_path_factory):
    folder = saved_model(model, tmp_path_factory.mktemp("classifier"), labels=LABELS, top=3)
    moved = tmp_path_factory.mktemp("moved") / "1"
    shutil.move(folder, moved)
    with Runtime(moved, xla=True) as runtime:
        yield runtime


@pytest.mark.tensorflow
def test_signatures_of_a_classifier(served):
    assert set(served.signatures) == {
        "serving_default", "classify", "explain", "bytes", "classify_bytes", "explain_bytes",
    }  # fmt: skip
    assert str(served.signatures["explain"].outputs["maps"]) == "float32[-1, 3, 7, 5]"


@pytest.mark.tensorflow
def test_classify_names_the_best(served, model, images):
    scores = np.asarray(model(images, training=False))
    order = np.argsort(-scores, axis=1)[:, :3]
    np.testing.assert_allclose(served(images=images)["scores"], scores, atol=1e-6)
    answer = served("classify", images=images)
    np.testing.assert_array_equal(answer["classes"], order)
    np.testing.assert_allclose(answer["scores"], np.take_along_axis(scores, order, 1), atol=1e-6)
    named = [[label.decode() for label in row] for row in answer["labels"]]
    assert named == [[LABELS[c] for c in row] for row in order]


@pytest.mark.tensorflow
def test_the_maps_average_to_the_logits(served, model, images):
    answer = served("explain", images=images)
    kernel, bias = model.layers[-1].get_weights()
    features = keras.Model(model.inputs[0], model.layers[1].output)(images, training=False)
    logits = np.asarray(features).mean((1, 2)) @ kernel + bias
    classes = answer["classes"]
    wanted = np.take_along_axis(logits, classes, 1)
    np.testing.assert_allclose(answer["maps"].mean((2, 3)) + bias[classes], wanted, atol=1e-5)
    by_loop = np.asarray(features)[1] @ kernel[:, classes[1, 2]]
    np.testing.assert_allclose(answer["maps"][1, 2], by_loop, atol=1e-5)
    plain = served("classify", images=images)
    np.testing.assert_array_equal(answer["labels"], plain["labels"])


@pytest.mark.tensorflow
def test_no_image_is_of_no_class(served):
    answer = served("explain_bytes", image_bytes=[b"no image"])
    assert not answer["valid"].any()
    assert (answer["classes"] == -1).all()
    assert (answer["labels"] == b"").all()
    assert not answer["maps"].any()


@pytest.mark.tensorflow
def test_scores_without_softmax_are_a_classifier_by_their_labels(images, tmp_path):
    model = pooled()
    embeddings = saved_model(model, tmp_path / "embeddings", signatures=["serving_default"])
    scores = saved_model(
        model, tmp_path / "scores", labels=LABELS, signatures=["serving_default", "classify"]
    )
    with Runtime(embeddings, xla=True) as served:
        assert set(served(images=images)) == {"embeddings"}
    with Runtime(scores, xla=True) as served:
        assert set(served(images=images)) == {"scores"}
        assert served("classify", images=images)["labels"].shape == (6, 5)
    with pytest.raises(ValueError, match="7 classes.*Received: 2"):
        saved_model(model, tmp_path, labels=["a", "b"])


UNITS = {
    "sigmoid": ([layers.Dense(1, activation="sigmoid")], None),
    "sigmoid apart": ([layers.Dense(1), layers.Activation("sigmoid")], ["healthy", "ill"]),
    "label of class 1": ([layers.Dense(1, activation="sigmoid")], ["ill"]),
    "logit": ([layers.Dense(1)], ["healthy", "ill"]),
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("case", UNITS)
def test_one_unit_is_a_classifier_of_two(case, images, tmp_path):
    head, labels = UNITS[case]
    model = classifier(layers.GlobalAveragePooling2D(), *head)
    dense = model.layers[3]
    dense.bias.assign([0.02])
    score = np.asarray(model(images, training=False))[:, 0]
    of_both = np.stack([-score if case == "logit" else 1 - score, score], axis=1)
    wanted = ["serving_default", "explain", "classify_bytes"]
    folder = saved_model(model, tmp_path, labels=labels, signatures=wanted)
    with Runtime(folder, xla=True) as served:
        np.testing.assert_allclose(served(images=images)["scores"][:, 0], score, atol=1e-6)
        answer = served("explain", images=images)
    order = np.argsort(-of_both, axis=1)
    np.testing.assert_array_equal(answer["classes"], order)
    np.testing.assert_allclose(answer["scores"], np.take_along_axis(of_both, order, 1), atol=1e-6)
    logit = score if case == "logit" else np.log(score / (1 - score))
    of_ill = answer["maps"][np.arange(6), np.argmax(order, axis=1)]
    np.testing.assert_allclose(of_ill.mean((1, 2)) + 0.02, logit, atol=1e-5)
    np.testing.assert_allclose(answer["maps"].sum(1), 0, atol=1e-6)
    if labels:
        names = ["not ill", "ill"] if len(labels) == 1 else labels
        assert [[x.decode() for x in row] for row in answer["labels"]] == [
            [names[c] for c in row] for row in order
        ]


@pytest.mark.tensorflow
def test_one_unit_takes_no_three_labels(tmp_path):
    model = classifier(layers.GlobalAveragePooling2D(), layers.Dense(1, activation="sigmoid"))
    with pytest.raises(ValueError, match=r"2 classes, or one for class 1,\. Received: 3"):
        saved_model(model, tmp_path, labels=["a", "b", "c"])


def nested(*head) -> keras.Model:
    inner = keras.Sequential([keras.Input((4,)), *head])
    inputs = keras.Input((8, 8, 3))
    x = layers.Dense(4)(layers.GlobalAveragePooling2D()(inputs))
    return keras.Model(inputs, layers.Activation("linear")(inner(x)))


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (lambda: nested(layers.Dense(3, activation="softmax")), "classifier"),
        (lambda: nested(layers.Dense(1), layers.Activation("sigmoid")), "classifier"),
        (lambda: nested(layers.Dense(3), layers.Softmax(), layers.Dropout(0.1)), "classifier"),
        (lambda: nested(layers.Dense(3, activation="sigmoid")), "embedding"),
        (lambda: nested(layers.Dense(1)), "embedding"),
        (lambda: nested(layers.Dense(3, activation="softmax"), layers.Dense(5)), "embedding"),
    ],
)
def test_the_last_activation_says_what_a_model_is(model, kind):
    from keras_metric.export.saved_models.model_parts import take_apart
    from keras_metric.export.saved_models.options import Options

    assert take_apart(model(), Options()).kind == kind


def functional(head) -> keras.Model:
    x = inputs = keras.Input((8, 8, 3))
    for layer in head:
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize(
    ("head", "found"),
    [
        ([layers.GlobalAveragePooling2D(), layers.Dense(4)], True),
        ([layers.GlobalAveragePooling2D(keepdims=True), layers.Flatten(), layers.Dense(4)], True),
        ([layers.GlobalAveragePooling2D(), layers.Dense(4), layers.Softmax()], True),
        ([layers.GlobalMaxPooling2D(), layers.Dense(4)], False),
        ([layers.GlobalAveragePooling2D(), layers.Dense(9, "relu"), layers.Dense(4)], False),
        ([layers.GlobalAveragePooling2D(), layers.LayerNormalization(), layers.Dense(4)], False),
        ([layers.GlobalAveragePooling2D(), layers.Dense(4), layers.Activation("relu")], True),
        ([layers.GlobalAveragePooling2D()], False),
        ([layers.Flatten(), layers.Dense(4)], False),
        ([layers.Conv2D(4, 3)], False),
    ],
)
def test_only_a_dense_layer_on_an_average_draws_maps(head, found):
    for model in (functional(head), keras.Sequential([keras.Input((8, 8, 3)), *head])):
        assert (pooled_head(model) is not None) == found

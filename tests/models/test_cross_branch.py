"""CrossBranchNet and its loss: anchors of one branch, candidates of the other; branch files."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_metric.losses import ContrastiveLoss, InfoNCELoss, TripletLoss
from keras_metric.models import CrossBranchLoss, CrossBranchNet, SiameseNet, TripletNet

# Keras 3.15 converts TensorFlow variables in a way that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BIG = 2**31 - 9


def encoder(width, *after, seed=0, name=None, dimensions=3):
    start = keras.initializers.GlorotUniform(seed=seed)
    first = layers.Dense(dimensions, kernel_initializer=start)
    return keras.Sequential([keras.Input((width,)), first, *after], name=name)


def sketches_and_photos(rng, rows=7):
    sides = tuple(rng.normal(size=(rows, width)).astype("float32") for width in (5, 4))
    return sides, (BIG + rng.integers(0, 3, (rows, 2))).astype("int64")


def loops_hard(anchors, labels, candidates, candidate_labels, margin):
    """Hard triplets, anchor by anchor, mean over those with a positive and a negative."""
    values = []
    for a, of_a in zip(anchors, labels, strict=True):
        distances = np.linalg.norm(candidates - a, axis=1)
        near, far = distances[candidate_labels == of_a], distances[candidate_labels != of_a]
        if len(near) and len(far):
            values.append(max(0, near.max() - far.min() + margin))
    return np.mean(values)


def test_loss_equals_loops_in_both_directions(rng):
    embeddings = rng.normal(size=(9, 2, 3))
    labels = BIG + rng.integers(0, 4, (9, 2))
    (a, b), (of_a, of_b) = embeddings.transpose(1, 0, 2), labels.T
    there, back = loops_hard(a, of_a, b, of_b, 0.7), loops_hard(b, of_b, a, of_a, 0.7)
    assert there != pytest.approx(back, rel=1e-2)
    loss = TripletLoss(margin=0.7, mining="hard")
    one_way, both_ways = CrossBranchLoss(loss), CrossBranchLoss(loss, both_ways=True)
    assert float(one_way(labels, embeddings)) == pytest.approx(there, rel=1e-5)
    assert float(both_ways(labels, embeddings)) == pytest.approx((there + back) / 2, rel=1e-5)


def test_aligned_labels_name_both_sides(rng):
    embeddings, labels = rng.normal(size=(6, 2, 3)), np.arange(6) % 3
    loss = CrossBranchLoss(InfoNCELoss())
    twice = float(loss(np.stack([labels, labels], axis=1), embeddings))
    assert float(loss(labels, embeddings)) == float(loss(labels[:, None], embeddings)) == twice


def test_an_item_is_compared_with_its_own_other_side():
    """Row 0's sketch and photo are a pair: the positive of each class is its own row."""
    embeddings = np.array([[[0.0, 0.0], [3.0, 0.0]], [[0.0, 9.0], [0.0, 9.0]]])
    loss = CrossBranchLoss(TripletLoss(margin=8.0, mining="hard", reduction=None))
    values = keras.ops.convert_to_numpy(loss(np.array([1, 2]), embeddings))
    np.testing.assert_allclose(values, [3 - 9 + 8, 0], atol=1e-3)


@pytest.mark.parametrize("weight", [0.0, 0.6])
def test_trains_with_a_joint_classifier(weight, rng):
    """triplet + cross-entropy: the weights of the losses are those of compile."""
    sides, labels = sketches_and_photos(rng)
    net = CrossBranchNet((encoder(5), encoder(4)), classifier=3)
    mined = CrossBranchLoss(TripletLoss(margin=1.0, mining="hard"))
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classes = (labels - BIG).astype("int32")
    net.compile(
        keras.optimizers.SGD(0.1),
        loss={"embeddings": mined, "classes": cross_entropy},
        loss_weights={"embeddings": 0.4, "classes": weight},
    )
    outputs = net.predict(sides, verbose=0)
    assert {name: x.shape for name, x in outputs.items()} == {
        "embeddings": (7, 2, 3),
        "classes": (7, 2, 3),
    }
    expected = 0.4 * float(mined(labels, outputs["embeddings"]))
    expected += weight * float(cross_entropy(classes, outputs["classes"]))
    before = net.get_weights()
    targets = {"embeddings": labels, "classes": classes}
    history = net.fit(sides, targets, batch_size=7, verbose=0)
    assert history.history["loss"][0] == pytest.approx(expected, rel=1e-5)
    moved = [np.abs(a - b).max() for a, b in zip(net.get_weights(), before, strict=True)]
    assert all(moved[:4])  # the encoders
    assert any(moved[4:]) == (weight > 0)  # the classifier


def test_saves_and_loads_with_its_loss(rng, tmp_path):
    sides, labels = sketches_and_photos(rng)
    net = CrossBranchNet((encoder(5), encoder(4)), name="cross")
    loss = CrossBranchLoss(TripletLoss(margin=0.9, mining="hard"), both_ways=True)
    net.compile("sgd", loss)
    net.fit(sides, labels, verbose=0)
    net.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_allclose(again.predict(sides, verbose=0), net.predict(sides, verbose=0))
    value, restored = (m.evaluate(sides, labels, verbose=0) for m in (net, again))
    assert value == pytest.approx(restored, rel=1e-6)


def test_unshared_backbones_with_a_shared_head_stay_so_in_a_file(rng, tmp_path):
    head = layers.Dense(2, name="head")
    net = CrossBranchNet((encoder(5, head), encoder(4, head, seed=1)))
    sides, labels = sketches_and_photos(rng)
    net.compile("sgd", CrossBranchLoss(TripletLoss()))
    net.fit(sides, labels, verbose=0)
    net.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    assert len(net.weights) == len(again.weights) == 6
    assert again.encoders[0].layers[-1] is again.encoders[1].layers[-1]
    np.testing.assert_allclose(again.predict(sides, verbose=0), net.predict(sides, verbose=0))


@pytest.mark.parametrize(
    ("net", "names"), [(SiameseNet, ["a", "b"]), (TripletNet, ["anchor", "item"])]
)
def test_each_branch_becomes_a_file(net, names, rng, tmp_path):
    (sketches, photos), _ = sketches_and_photos(rng)
    model = net((encoder(5), encoder(4)))
    paths = model.save_branches(tmp_path / "branches")
    assert list(paths) == list(model.branches()) == names
    assert sorted(p.name for p in (tmp_path / "branches").iterdir()) == sorted(
        f"{name}.keras" for name in names
    )
    for path, part, x in zip(paths.values(), model.encoders, (sketches, photos), strict=True):
        again = keras.saving.load_model(path)
        np.testing.assert_allclose(again.predict(x, verbose=0), part.predict(x, verbose=0))


def test_a_shared_encoder_is_one_file(tmp_path):
    paths = SiameseNet(encoder(5)).save_branches(tmp_path)
    assert {name: path.name for name, path in paths.items()} == {"encoder": "encoder.keras"}


def test_refuses_what_it_cannot_use(rng):
    with pytest.raises(TypeError, match="PairLoss.*ContrastiveLoss"):
        CrossBranchLoss(ContrastiveLoss())
    loss = CrossBranchLoss(TripletLoss())
    with pytest.raises(ValueError, match=r"\(B, 2, D\).*shape \(4, 3\)"):
        loss(np.arange(4), np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"\(B, 2\).*shape \(4, 3\)"):
        loss(np.zeros((4, 3), "int32"), np.zeros((4, 2, 3)))
    sides, _ = sketches_and_photos(rng)
    uneven = CrossBranchNet((encoder(5), encoder(4, dimensions=2)))
    with pytest.raises(ValueError, match="same number of dimensions"):
        uneven(sides)

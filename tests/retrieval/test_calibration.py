"""Thresholds: chosen as they say, as sure as they say, and never used with another model."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_metric.batches import PKBatches
from keras_metric.losses import SupConLoss
from keras_metric.metrics import best_threshold, retrieval, verification
from keras_metric.retrieval import Calibration, Index, calibrate, calibrate_pairs
from keras_metric.retrieval import calibration as files
from zoo.datasets.sources import omniglot


def population(identities: int, images: int, seed: int, width: int = 8):
    """Identities that are more or less alike and more or less steady, as real ones are."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(identities, width))
    spread = rng.uniform(0.2, 0.6, size=(identities, 1, 1))
    points = centres[:, None] + spread * rng.normal(size=(identities, images, width))
    return points.reshape(-1, width), np.repeat(np.arange(identities), images)


def rates_by_hand(points, labels, threshold):
    """far, recall, precision, f1 over all pairs, in plain loops."""
    accepted = {True: 0, False: 0}
    total = {True: 0, False: 0}
    for i in range(len(points)):
        for j in range(i):
            same = labels[i] == labels[j]
            total[same] += 1
            accepted[same] += np.sqrt(((points[i] - points[j]) ** 2).sum()) <= threshold
    right, wrong = accepted[True], accepted[False]
    precision, recall = right / max(right + wrong, 1), right / total[True]
    return {
        "far": wrong / total[False],
        "recall": recall,
        "precision": precision,
        "f1": 2 * right / (right + wrong + total[True]),
    }


@pytest.mark.parametrize("target", [{"far": 0.05}, {"recall": 0.8}, {"precision": 0.9}, {}])
def test_the_threshold_reaches_its_target(target):
    points, labels = population(12, 5, seed=3)
    found = calibrate(points, labels, distance="euclidean", resamples=20, **target)
    assert found.rates == pytest.approx(rates_by_hand(points, labels, found.threshold))
    assert (found.same, found.different, found.identities) == (12 * 10, 60 * 59 // 2 - 120, 12)
    tighter = rates_by_hand(points, labels, found.threshold - 0.02)
    looser = rates_by_hand(points, labels, found.threshold + 0.02)
    if "far" in target:
        assert found.rates["far"] <= 0.05 < looser["far"]
    elif "recall" in target:
        assert found.rates["recall"] >= 0.8 > tighter["recall"]
    elif "precision" in target:
        assert found.rates["precision"] >= 0.9 > looser["precision"]
    else:
        assert found.rates["f1"] >= max(tighter["f1"], looser["f1"])


def test_intervals_are_those_of_redrawing_identities():
    points, labels = population(6, 3, seed=0)
    found = calibrate(points, labels, distance="euclidean", recall=0.7, resamples=40, seed=9)
    rng, drawn = np.random.default_rng(9), {name: [] for name in found.rates}
    for _ in range(40):
        chosen = rng.integers(6, size=6)
        counts = np.zeros((2, 2))
        for a, one in enumerate(chosen):
            for b, other in enumerate(chosen):
                if a < b and one == other:
                    continue  # one identity drawn twice is no pair of two
                rows, columns = points[labels == one], points[labels == other]
                apart = np.sqrt(((rows[:, None] - columns[None]) ** 2).sum(-1))
                if a == b:
                    apart = apart[np.triu_indices(3, 1)]
                if a <= b:
                    counts[int(a == b)] += [(apart <= found.threshold).sum(), apart.size]
        counts[0] *= 6 / 5  # one draw in six is of the same identity
        (wrong, different), (right, alike) = counts
        drawn["far"].append(wrong / different)
        drawn["recall"].append(right / alike)
        drawn["precision"].append(right / (right + wrong))
        drawn["f1"].append(2 * right / (right + wrong + alike))
    for name, values in drawn.items():
        assert found.intervals[name] == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))


def test_other_identities_fall_into_the_interval_as_often_as_it_says():
    """The rate of a population of 400 others, for 100 calibrations on 60 identities each."""
    truth, labels = population(400, 4, seed=10**6)
    apart = np.sqrt(np.maximum(_squares(truth), 0))
    different = apart[labels[:, None] != labels]
    inside = []
    for seed in range(100):
        points, mine = population(60, 4, seed)
        found = calibrate(points, mine, distance="euclidean", far=0.02, resamples=300, seed=seed)
        low, high = found.intervals["far"]
        inside.append(low <= (different <= found.threshold).mean() <= high)
    assert 0.86 <= np.mean(inside) <= 1


def _squares(x):
    lengths = (x**2).sum(1)
    return lengths[:, None] + lengths - 2 * x @ x.T


@pytest.fixture(scope="module")
def characters(real_data):
    """Embeddings of Omniglot characters by a network trained on those of other alphabets."""
    seen, labels = small(omniglot.load("small1", real_data))
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((14, 14, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64),
            layers.UnitNormalization(),
        ]
    )
    model.compile(keras.optimizers.Adam(2e-3), SupConLoss())
    batches = PKBatches(
        seen, labels, classes_per_batch=16, images_per_class=6, batches_per_epoch=160
    )
    model.fit(batches, verbose=0)
    others = omniglot.load("small2", real_data)
    pixels, labels = small(others.where(others.drawers <= 10))
    embeddings, plain = model.predict(pixels, verbose=0), pixels.reshape(len(pixels), -1)
    learnt, before = (retrieval(x, labels)["recall@1"] for x in (embeddings, plain))
    assert learnt > before + 0.1
    return embeddings, labels


def test_on_unseen_characters_the_rate_lies_in_its_interval(characters):
    """A trained network, calibrated on half of the characters that it has not seen, twelve times.

    Measured on the other half, which errs as much as the first: a 95 % interval holds it some
    five times in six.
    """
    points, labels = characters
    inside = []
    for seed in range(12):
        classes = np.random.default_rng(seed).permutation(np.unique(labels))
        chosen = np.isin(labels, classes[: len(classes) // 2])
        found = calibrate(points[chosen], labels[chosen], far=0.01, resamples=300, seed=seed)
        low, high = found.intervals["far"]
        inside.append(low <= far_at(points[~chosen], labels[~chosen], found.threshold) <= high)
    assert sum(inside) >= 9


def small(characters):
    """Pictures of 14 x 14, and their labels."""
    images = omniglot.prepare(characters).images
    return images.reshape(-1, 14, 2, 14, 2, 1).mean(axis=(2, 4)), characters.labels


def far_at(points, labels, threshold):
    different = labels[:, None] != labels
    return (1 - (points @ points.T)[different] <= threshold).mean()


def test_beyond_the_threshold_nothing_matches(tmp_path):
    pytest.importorskip("faiss")
    points, labels = population(20, 6, seed=1)
    index = Index(distance="euclidean")
    index.add(points, [f"person {label}" for label in labels])
    index.calibration = calibrate(points, labels, far=0.01, distance="euclidean", resamples=50)
    others = population(5, 2, seed=2)[0] + 10
    queries = np.concatenate([points[:3], others])
    for candidate in (index, Index.load(index.save(tmp_path / "index"))):
        for matcher in ("nearest", "vote", "weighted"):
            found = candidate.match(queries, matcher=matcher)
            assert found.labels[:3].tolist() == ["person 0"] * 3
            assert found.labels[3:].tolist() == [None] * 10
            assert np.isinf(found.distances[3:]).all()
    index.calibration = None
    assert None not in index.match(queries).labels


def test_another_distance_or_model_is_refused():
    points, labels = population(5, 4, seed=0)
    found = calibrate(points, labels, model="aa" * 32, resamples=5)
    index = Index(distance="euclidean")
    with pytest.raises(ValueError, match="Expected: distance='euclidean'.*Received: 'cosine'"):
        index.calibration = found
    index = Index(distance="cosine")
    index.add(points, model="bb" * 32)
    with pytest.raises(ValueError, match="What was calibrated is another model.*Received: aaaa"):
        index.calibration = found


def test_written_and_read_it_is_the_same(tmp_path):
    points, labels = population(5, 4, seed=0)
    found = calibrate(points, labels, precision=0.5, model="aa" * 32, resamples=5)
    files.save_calibration(found, tmp_path / "calibration.json")
    assert files.load_calibration(tmp_path / "calibration.json") == found
    assert "precision 0.5" in str(found)
    assert "5 identities" in str(found)
    for text, words in (("{", "cannot be read. Expected: the JSON"), ("{}", "no calibration")):
        (tmp_path / "calibration.json").write_text(text)
        with pytest.raises(ValueError, match=words):
            files.load_calibration(tmp_path / "calibration.json")


def test_pairs_alone_have_no_interval():
    found = calibrate_pairs([0.1, 0.2, 0.3, 0.4], [1, 1, 0, 0], distance="euclidean")
    assert found.threshold == pytest.approx(0.25)
    assert (found.rates["f1"], found.intervals, found.identities) == (1, {}, None)
    assert found.decide([0.25, 0.26, np.inf, np.nan]).tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"far": 0.1, "recall": 0.5}, "two targets. Expected: one of.*Received: far, recall"),
        ({"far": 0}, "far is out of range. Expected.*Received: far=0"),
        ({"recall": 1.5}, "recall is out of range"),
        ({"far": 1e-9}, "at least 1,000,000,000 pairs of two classes. Received: 160"),
        ({"distance": "cosin"}, "Unknown distance"),
        ({"confidence": 95}, "interval is not defined"),
    ],
)
def test_refusals(options, words):
    points, labels = population(5, 4, seed=0)
    with pytest.raises(ValueError, match=words):
        calibrate(points, labels, **options)


def test_pairs_that_cannot_be_judged_are_refused():
    with pytest.raises(ValueError, match="No threshold reaches.*at most 0.5000.*precision=0.9"):
        calibrate_pairs([0.1, 0.1, 0.3], [1, 0, 0], precision=0.9)
    with pytest.raises(ValueError, match="identities do not fit"):
        calibrate_pairs([0.1, 0.2], [1, 0], [[1, 1], [2, 2]])
    with pytest.raises(ValueError, match="pairs are of one kind"):
        calibrate(np.eye(3), [1, 1, 1])
    with pytest.raises(ValueError, match="no calibration. Expected: the keys"):
        Calibration.from_json({"threshold": 1})


@pytest.mark.parametrize("same", [[1, 0.5, 0], [2, 1, 0], ["1", "0", "0"]])
def test_same_is_0_or_1(same):
    with pytest.raises(ValueError, match="pairs are invalid. Expected.*0 or 1"):
        calibrate_pairs([0.1, 0.2, 0.3], same)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_embeddings_that_have_collapsed_get_no_threshold(distance, rng):
    labels = np.arange(40) % 4
    for noise in (0, 1e-8):
        points = (np.ones((40, 16)) + noise * rng.normal(size=(40, 16))).astype("float32")
        with pytest.raises(ValueError, match="have collapsed.*Expected.*Received: 40"):
            calibrate(points, labels, distance=distance)
    with pytest.raises(ValueError, match="All distances are equal.*Expected.*4 pairs at 0.5"):
        calibrate_pairs([0.5] * 4, [1, 0, 1, 0])


def test_the_rates_are_those_of_the_threshold_as_it_is_stored(rng, tmp_path):
    """Neighbours in float32 and float16: their middle is one of them."""
    for dtype in ("float16", "float32", "float64"):
        low = np.array(0.3, dtype)
        high = np.nextafter(low, np.array(1, dtype))
        pairs = np.array([low, low, high, high]), np.array([1, 1, 0, 0])
        assert pairs[0].dtype == dtype
        threshold, accuracy = best_threshold(*pairs)
        assert accuracy == ((pairs[0] <= threshold) == pairs[1]).mean() == 1
        report = verification(*pairs)
        assert report["threshold"] == threshold
        found = calibrate_pairs(*pairs, far=0.5)
        files.save_calibration(found, tmp_path / "calibration.json")
        accepted = files.load_calibration(tmp_path / "calibration.json").decide(pairs[0])
        np.testing.assert_array_equal(accepted, pairs[0] <= found.threshold)
        assert found.rates["far"] == accepted[2:].mean()
        assert found.rates["recall"] == accepted[:2].mean() == 1


def test_a_threshold_is_between_the_last_accepted_distance_and_infinity():
    threshold, accuracy = best_threshold([1.0, np.inf], [1, 0])
    assert (threshold, accuracy) == (1, 1)
    assert best_threshold([1, 2, 5], [1, 1, 0])[0] == 3.5


@pytest.mark.parametrize("target", [{}, {"precision": 0.3}, {"recall": 0.5}])
@pytest.mark.parametrize("seed", range(4))
def test_an_interval_holds_its_own_estimate(target, seed):
    """Few identities that hardly differ: redrawn, they leave fewer pairs of two."""
    points, labels = population(10, 4, seed=seed, width=2)
    found = calibrate(points, labels, distance="euclidean", resamples=200, **target)
    for name, (low, high) in found.intervals.items():
        assert low <= found.rates[name] <= high
    assert "fewer than 20 identities" in str(found)


def test_redrawn_rates_lie_around_their_estimate():
    """Not beside it: the mean of both ends, for identities that are all alike."""
    labels = np.repeat(np.arange(10), 4)
    points = np.tile([[0.0], [1.0], [2.0], [3.0]], (10, 1)) + 1e-3 * labels[:, None]
    found = calibrate(points, labels, distance="euclidean", recall=0.4, resamples=400)
    low, high = found.intervals["precision"]
    assert (low + high) / 2 == pytest.approx(found.rates["precision"], rel=0.05)

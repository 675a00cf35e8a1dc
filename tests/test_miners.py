import json
from itertools import permutations
from math import atan2, degrees

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric import distances, losses, miners
from keras_metric.pairs import Pairs, from_labels


def numbers(x):
    return np.array(x.tolist() if hasattr(x, "tolist") else x)


@pytest.fixture
def pairs(rng):
    distances = rng.uniform(0.05, 1.4, (9, 9)).astype("float32")
    return from_labels(ops.convert_to_tensor(distances), np.array([0, 1, 2, 0, 1, 2, 0, 1, 3]))


def rows(pairs):
    d, positives, negatives = (numbers(x) for x in pairs)
    return [
        (row, set(np.flatnonzero(p)), set(np.flatnonzero(n)))
        for row, p, n in zip(d, positives, negatives, strict=True)
    ]


def least(d, among):
    return {min(among, key=lambda j: d[j])} if among else set()


def most(d, among):
    return {max(among, key=lambda j: d[j])} if among else set()


def batch_hard(d, P, N):
    return most(d, P), least(d, N)


def easy_semi_hard(d, P, N):
    P = least(d, P)
    return P, least(d, {n for n in N for p in P if d[n] > d[p]})


def semi_hard_easy(d, P, N):
    N = most(d, N)
    return most(d, {p for p in P for n in N if d[p] < d[n]}), N


def semi_hard(d, P, N, margin=0.3):
    triplets = [(p, n) for p in P for n in N if d[p] < d[n] <= d[p] + margin]
    return {p for p, _ in triplets}, {n for _, n in triplets}


def multi_similarity(d, P, N, epsilon=0.05):
    hard_positives = {p for p in P if d[p] > min(d[n] for n in N) - epsilon}
    return hard_positives, {n for n in N if P and d[n] < max(d[p] for p in P) + epsilon}


def pair_margin(d, P, N):
    return {p for p in P if d[p] > 0.5}, {n for n in N if d[n] < 0.9}


def uniform_histogram(d, P, N, levels=3):
    def spread(among):
        if not among:
            return set()
        low, high = min(d[j] for j in among), max(d[j] for j in among)
        nodes = [low + (high - low) * k / (levels - 1) for k in range(levels)]
        return {min(among, key=lambda j: abs(d[j] - node)) for node in nodes}

    return spread(P), spread(N)


CASES = [
    (miners.BatchHard(), batch_hard),
    (miners.EasyHard(), easy_semi_hard),
    (miners.EasyHard("semi_hard", "easy"), semi_hard_easy),
    (miners.EasyHard("all", "all"), lambda d, P, N: (P, N)),
    (miners.SemiHard(0.3), semi_hard),
    (miners.MultiSimilarity(0.05), multi_similarity),
    (miners.PairMargin(0.5, 0.9), pair_margin),
    (miners.UniformHistogram(3), uniform_histogram),
]


@pytest.mark.parametrize(("miner", "formula"), CASES)
def test_keeps_what_the_loops_keep(miner, formula, pairs):
    for (d, P, N), (_, kept_positives, kept_negatives) in zip(
        rows(pairs), rows(miner(pairs)), strict=True
    ):
        assert (kept_positives, kept_negatives) == formula(d, P, N)


@pytest.mark.parametrize("name", miners.names())
def test_only_switches_off_and_comes_back_by_value(name, pairs):
    miner = miners.get(name)
    between = [lambda c: ops.take(pairs.distances, c, axis=0)] * miner.looks_beyond_row
    mined = miner(pairs, *between)
    np.testing.assert_array_equal(numbers(mined.distances), numbers(pairs.distances))
    for kept, before in ((mined.positives, pairs.positives), (mined.negatives, pairs.negatives)):
        assert not (numbers(kept) & ~numbers(before)).any()
    config = {k: v * 2 if type(v) in (int, float) else v for k, v in miner.get_config().items()}
    again = json.loads(json.dumps(keras.saving.serialize_keras_object(type(miner)(**config))))
    assert keras.saving.deserialize_keras_object(again).get_config() == config


def test_distance_weighted_draws_evenly_over_distance():
    """2000 negatives as dense as random points of the sphere are: the draws fill every distance."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 4))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    d = np.linalg.norm(x - x[0], axis=1).astype("float32")[None]
    miner = miners.DistanceWeighted(4, negatives=60, cutoff=0.1)
    everyone = ops.ones(d.shape, "bool")
    pairs = Pairs(ops.convert_to_tensor(d), ops.logical_not(everyone), everyone)
    drawn = d[numbers(miner(pairs).negatives)]
    assert len(drawn) == 60
    assert drawn.max() < 1.4
    assert 0.65 < np.mean(drawn) < 0.85 < np.mean(d[d < 1.4])


def test_a_loss_takes_a_miner_by_name_object_or_function(rng):
    x, labels = rng.normal(size=(9, 3)).astype("float32"), np.arange(9) % 3
    by_name = losses.PairwiseContrastiveLoss(miner="batch_hard")
    same = losses.PairwiseContrastiveLoss(miner=miners.EasyHard("hard", "hard"))
    unmined = losses.PairwiseContrastiveLoss()
    assert float(by_name(labels, x)) == float(same(labels, x)) != float(unmined(labels, x))
    again = losses.PairwiseContrastiveLoss.from_config(json.loads(json.dumps(same.get_config())))
    assert float(again(labels, x)) == float(same(labels, x))


@pytest.mark.parametrize("name", [n for n in miners.names() if n != "distance_weighted"])
def test_row_blocks_mine_the_same(name, rng):
    x, labels = rng.normal(size=(11, 3)).astype("float32"), np.arange(11) % 3
    whole, blocks = (
        losses.PairwiseContrastiveLoss(4.0, miner=name, rows_per_block=rows, reduction=None)
        for rows in (None, 4)
    )
    np.testing.assert_allclose(numbers(blocks(labels, x)), numbers(whole(labels, x)), rtol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch runs the miners as they are")
@pytest.mark.parametrize("name", miners.names())
def test_compiled_mines_the_same(name, rng):
    x, labels = rng.normal(size=(9, 3)).astype("float32"), np.arange(9) % 3
    loss = losses.PairwiseContrastiveLoss(4.0, miner=name)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Identity()])
    model.compile(loss=loss, jit_compile=True)
    compiled = model.evaluate(x, labels, batch_size=9, verbose=0)
    np.testing.assert_allclose(compiled, float(loss(labels, x)), rtol=1e-4)


def angular(x, labels, angle):
    """The pairs of triplets (a, p, n) with the angle at n, over a triangle made isosceles."""
    kept = set(), set()
    for a, p, n in permutations(range(len(x)), 3):
        if labels[a] == labels[p] != labels[n]:
            away = np.linalg.norm(x[n] - (x[a] + x[p]) / 2)
            if degrees(atan2(np.linalg.norm(x[a] - x[p]) / 2, away)) > angle:
                kept[0].add((a, p))
                kept[1].add((a, n))
    return kept


@pytest.mark.parametrize("angle", [25.0, 40.0, 60.0])
@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean", "cosine"])
@pytest.mark.parametrize("rows", [None, 4])
def test_angular_keeps_what_the_loops_keep(rows, distance, angle, rng):
    x, labels = rng.normal(size=(11, 2)), np.array([0, 1, 2, 0, 1, 2, 0, 1, 3, 0, 0])
    x = x / np.linalg.norm(x, axis=1, keepdims=True) if distance == "cosine" else x
    positives, negatives = angular(x, labels, angle)
    assert 0 < len(positives) < 32
    miner = miners.Angular(angle, squared=distance != "euclidean")
    loss = losses.PairwiseContrastiveLoss(
        99.0, distance=distance, miner=miner, rows_per_block=rows, reduction=None
    )
    kept = loss(labels, x.astype("float32"))
    away = numbers(distances.get(distance)(x, x))
    for a, value in enumerate(numbers(kept)):
        near, far = ([away[a, j] for i, j in pairs if i == a] for pairs in (positives, negatives))
        expected = np.mean(np.square(near or [0])) + np.mean(np.square(99 - np.array(far or [99])))
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


def test_angular_at_a_negative_between_the_two():
    """The widest angle of all, 90 degrees, and one far away."""
    x = np.array([[0, 0], [2, 0], [1, 0], [1, 9]], "float32")
    loss = losses.MarginLoss(miner=miners.Angular(89.0), distance="euclidean", reduction=None)
    np.testing.assert_allclose(numbers(loss(np.array([0, 0, 1, 2]), x))[2:], 0)
    assert numbers(loss(np.array([0, 0, 1, 2]), x))[:2].min() > 0


def test_unknown_words_are_refused():
    with pytest.raises(ValueError, match="did you mean 'batch_hard'"):
        miners.get("batch_har")
    with pytest.raises(ValueError, match="Received: positive='medium'"):
        miners.EasyHard("medium", "hard")
    with pytest.raises(ValueError, match="at most one 'semi_hard'"):
        miners.EasyHard("semi_hard", "semi_hard")

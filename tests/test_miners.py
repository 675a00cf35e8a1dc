import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric import losses, miners
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
    mined = miner(pairs)
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


def test_unknown_words_are_refused():
    with pytest.raises(ValueError, match="did you mean 'batch_hard'"):
        miners.get("batch_har")
    with pytest.raises(ValueError, match="Received: positive='medium'"):
        miners.EasyHard("medium", "hard")
    with pytest.raises(ValueError, match="at most one 'semi_hard'"):
        miners.EasyHard("semi_hard", "semi_hard")

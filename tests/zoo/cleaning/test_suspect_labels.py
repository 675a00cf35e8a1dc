import numpy as np
import pytest

from zoo.cleaning import labels
from zoo.cleaning.labels import find_suspects

pytestmark = pytest.mark.tensorflow  # NumPy and scikit-learn alone


def classes(rng, count=60, apart=6.0):
    """Three classes of points, and their labels."""
    truth = np.repeat(np.arange(3), count)
    return rng.normal(size=(3 * count, 5)) + apart * np.eye(5)[truth], truth


@pytest.mark.parametrize("wrong", [0, 9, 36])
def test_planted_labels_are_found_however_many(wrong, rng):
    points, truth = classes(rng)
    given = truth.copy()
    rows = rng.choice(len(truth), wrong, replace=False)
    given[rows] = (given[rows] + rng.integers(1, 3, wrong)) % 3
    found = find_suspects(points, given, np.arange(len(truth)))
    assert set(found.rows) == set(rows)
    np.testing.assert_array_equal(found.classes, truth[found.rows])
    assert (np.diff(found.chances) <= 0).all()
    assert found.noise == pytest.approx(1.5 * wrong / len(truth), abs=0.01)  # a third stays right


def test_chances_are_those_of_the_formula_by_plain_loops(rng):
    points, truth = classes(rng, apart=2.0)
    given = truth.copy()
    given[::20] = (given[::20] + 1) % 3
    groups = np.arange(len(truth))
    scores = labels._held_out_scores(points, given, groups, 0)

    def wrong(row, temperature, noise):
        powers = [np.exp(score / temperature) for score in scores[row]]
        right = (1 - noise) * powers[given[row]] / sum(powers)
        return (noise / 3) / (right + noise / 3), np.log(right + noise / 3)

    def likelihood(temperature, noise):
        return sum(wrong(row, temperature, noise)[1] for row in range(len(truth)))

    temperature, noise = labels._fit(scores, given)
    best = likelihood(temperature, noise)
    for factor in (0.97, 1.03):
        assert likelihood(temperature * factor, noise) < best
        assert likelihood(temperature, noise * factor) < best
    found = find_suspects(points, given, groups)
    expected = [wrong(row, temperature, noise)[0] for row in range(len(truth))]
    assert {row for row, chance in enumerate(expected) if chance > 0.5} == set(found.rows)
    np.testing.assert_allclose(found.chances, [expected[row] for row in found.rows], rtol=1e-6)


def test_a_copy_does_not_vouch_for_a_wrong_label(rng):
    """Copies with the same wrong label lie in one fold, so that no one has learned it."""
    points, truth = classes(rng, count=12)
    points = np.concatenate([points, np.repeat(points[:1], 6, axis=0)])
    given = np.concatenate([truth, np.ones(6, int)])
    given[0] = 1
    groups = np.arange(len(given))
    groups[-6:] = 0
    found = find_suspects(points, given, groups)
    assert {0, *range(36, 42)} <= set(found.rows)


def test_nothing_is_judged_by_embeddings_that_do_not_tell_the_classes_apart(rng):
    noise, truth = rng.normal(size=(180, 5)), np.repeat(np.arange(3), 60)
    assert find_suspects(noise, truth, np.arange(180)) is None


def test_repeatable_and_another_seed_divides_otherwise(rng):
    points, truth = classes(rng, apart=3.0)
    given = truth.copy()
    given[::15] = (given[::15] + 1) % 3
    groups = np.arange(len(truth))
    first, again, other = (find_suspects(points, given, groups, seed=s).chances for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert len(first) > 0
    assert len(first) != len(other) or (first != other).any()

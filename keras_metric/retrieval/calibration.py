"""From which distance on two things are no longer the same: a threshold, chosen and kept."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_metric import distances
from keras_metric.arguments import number
from keras_metric.batches.classes import integer_labels
from keras_metric.metrics import rates
from keras_metric.metrics.intervals import draws, percentiles
from keras_metric.metrics.ranking import check_pairing, embedding_matrix
from keras_metric.metrics.verification_scores import steps, threshold_after
from keras_metric.retrieval.encoding import made_by

MOST = 3000  # embeddings whose pairs are all looked at


@dataclass(frozen=True)
class Calibration:
    """A threshold, what it does on the pairs it was chosen on, and how sure that is.

    Attributes:
        threshold: in the unit of `distance`; two things are the same up to it.
        target: "far", "precision", "recall" or "f1", and `asked`, the value it was to have.
        rates: far, recall (the true accept rate), precision and f1 at the threshold.
        intervals: of each rate, as another draw of identities would give it.
        identities, same, different: how many of each there were.
        fingerprint: of the model that made the embeddings, if it was named.
    """

    threshold: float
    distance: str
    target: str
    asked: float | None
    rates: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    confidence: float
    identities: int | None
    same: int
    different: int
    fingerprint: str | None = None

    def decide(self, distances) -> np.ndarray:
        """Whether each distance is that of a match: at most the threshold."""
        return np.asarray(distances) <= self.threshold

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Calibration":
        """The calibration that `as_json` gave.

        Raises:
            ValueError: it is not one.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(content, dict) or content.keys() != names:
            raise ValueError(
                f"This is no calibration. Expected the keys {', '.join(sorted(names))}. "
                f"Received: {str(content)[:80]}."
            )
        pairs = {name: tuple(ends) for name, ends in content["intervals"].items()}
        return cls(**{**content, "intervals": pairs})

    def __str__(self) -> str:
        asked = "the best f1" if self.asked is None else f"{self.target} {self.asked:g}"
        lines = [f"threshold {self.threshold:.6g} ({self.distance}), for {asked}"]
        for name, value in self.rates.items():
            low, high = self.intervals.get(name, (None, None))
            sure = "" if low is None else f" ({self.confidence:.0%}: {low:.4f} to {high:.4f})"
            lines.append(f"{name:10}{value:.4f}{sure}")
        who = "" if self.identities is None else f" of {self.identities:,} identities"
        lines.append(f"on {self.same:,} same and {self.different:,} different pairs{who}")
        return "\n".join(lines)


def calibrate(
    embeddings,
    labels,
    *,
    far: float | None = None,
    precision: float | None = None,
    recall: float | None = None,
    distance: str = "cosine",
    model: keras.Model | str | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Calibration:
    """The threshold that reaches a target on all pairs of validation embeddings (N, D).

    Give one target, or none for the best f1. With every pair up to the threshold accepted,

        far       = accepted pairs of two classes / pairs of two classes     the largest threshold
        recall    = accepted pairs of one class / pairs of one class         the least
        precision = accepted pairs of one class / accepted pairs             the largest
        f1        = 2 precision recall / (precision + recall)

    Use classes that training has not seen. Precision and f1 depend on how many pairs of each kind
    there are. A search compares with many records: in a gallery of n, up to n times `far` of the
    queries that are not in it find a match, see `open_set`.

    Args:
        labels: integers (N,), the identities.
        model: what made the embeddings; kept, so that the threshold is not used with another.
        confidence, resamples, seed: of the intervals, see `intervals`.

    Of more than 3,000 embeddings, 3,000 are drawn at random.

    Raises:
        ValueError: two targets, one that no threshold reaches or that so few pairs cannot show, or
            pairs of one kind only.
    """
    found, labels = embedding_matrix(embeddings), integer_labels(labels)
    check_pairing(found, labels)
    if len(found) > MOST:
        drawn = np.random.default_rng(seed).permutation(len(found))[:MOST]
        found, labels = found[drawn], labels[drawn]
    name = getattr(distance, "__name__", distance)
    apart = np.asarray(keras.ops.convert_to_numpy(distances.get(distance)(found, found)))
    left, right = np.triu_indices(len(found), 1)
    return calibrate_pairs(
        apart[left, right],
        labels[left] == labels[right],
        np.stack([labels[left], labels[right]], axis=1),
        far=far,
        precision=precision,
        recall=recall,
        distance=name,
        model=model,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )


def calibrate_pairs(
    distances,
    same,
    identities=None,
    *,
    far: float | None = None,
    precision: float | None = None,
    recall: float | None = None,
    distance: str = "cosine",
    model: keras.Model | str | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Calibration:
    """`calibrate` from pairs: distances (M,), same (M,) of 0 and 1, identities (M, 2) integers.

    Without identities there are no intervals.
    """
    target, asked = check_target(far=far, precision=precision, recall=recall)
    distances, same = np.asarray(distances), np.asarray(same).astype(int)
    threshold, rates, counts = chosen(distances, same, target, asked)
    sure, who = {}, None
    if identities is not None:
        who, sure = intervals(distances <= threshold, same, identities, confidence, resamples, seed)
    return Calibration(
        threshold, distance, target, asked, rates, sure, confidence, who, *counts, made_by(model)
    )


def save_calibration(calibration: Calibration, path: str | Path) -> None:
    """Write a calibration as JSON."""
    text = json.dumps(calibration.as_json(), indent=2, allow_nan=False)
    Path(path).write_text(text + "\n", encoding="utf-8")


def load_calibration(path: str | Path) -> Calibration:
    """The calibration in a JSON file.

    Raises:
        ValueError: the file is something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be read. Expected the JSON of a calibration. Received: {error}."
        ) from error
    return Calibration.from_json(content)


def check_target(**targets: float | None) -> tuple[str, float | None]:
    """The name and value of the one target given; f1 and None when there is none.

    Raises:
        ValueError: several targets, or one that is not above 0 and at most 1.
    """
    given = {name: value for name, value in targets.items() if value is not None}
    if len(given) > 1:
        raise ValueError(
            f"One threshold cannot have two targets. Expected one of {', '.join(targets)}, or none "
            f"for the best f1. Received: {', '.join(given)}."
        )
    for name, value in given.items():
        return name, number(name, value, above=0, most=1)
    return "f1", None


def chosen(
    distances: np.ndarray, same: np.ndarray, target: str, asked: float | None
) -> tuple[float, dict[str, float], tuple[int, int]]:
    """The threshold, its rates, and how many pairs are of each kind."""
    values, alike, others = steps(distances, same)
    table = _rates(alike, others)
    counts = int(alike.sum()), int(others.sum())
    step = _step(table, target, asked, counts)
    return (
        threshold_after(values, step),
        {name: float(v[step]) for name, v in table.items()},
        counts,
    )


def _rates(alike, others) -> dict[str, np.ndarray]:
    """The four rates of each threshold (T + 1,), beginning with "accept nothing"."""
    far, recall = rates.accept_rates(alike, others, np)
    right, wrong = recall * alike.sum(), far * others.sum()
    precision = right / np.maximum(right + wrong, 1)
    f1 = 2 * right / (right + wrong + alike.sum())
    return {"far": far, "recall": recall, "precision": precision, "f1": f1}


def _step(table: dict, target: str, asked: float | None, counts: tuple[int, int]) -> int:
    if asked is None:
        return int(table["f1"].argmax())
    if target == "far":
        if asked * counts[1] < 1:
            raise ValueError(
                f"So few pairs cannot show a false accept rate of {asked:g}. Expected at least "
                f"{int(np.ceil(1 / asked)):,} pairs of two classes. Received: {counts[1]:,}."
            )
        return int(np.flatnonzero(table["far"] <= asked)[-1])
    reached = np.flatnonzero(table[target] >= asked)
    if not len(reached):
        raise ValueError(
            f"No threshold reaches this {target}. Expected at most {table[target].max():.4f}, the "
            f"best there is on these pairs. Received: {target}={asked:g}."
        )
    return int(reached[-1] if target == "precision" else reached[0])


def intervals(
    accepted: np.ndarray,
    same: np.ndarray,
    identities,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[int, dict[str, tuple[float, float]]]:
    """How many identities there are, and the bootstrap interval of each rate over identities.

    Identities are redrawn with replacement, never pairs: pairs that share an identity are not
    independent. A pair of two identities counts as often as both were drawn (the product), a pair
    of one identity as often as it was drawn; two draws of one identity are no pair of two. Bolle,
    Ratha, Pankanti, "Error analysis of pattern recognition systems: the subsets bootstrap",
    Computer Vision and Image Understanding 93, 2004, in its form over persons.

    accepted, same: (M,) of 0 and 1. identities: (M, 2).

    Raises:
        ValueError: identities that do not pair up with the rest, or contradict it.
    """
    identities = np.asarray(identities)
    _check(same, identities, confidence, resamples)
    names, numbers = np.unique(identities, return_inverse=True)
    numbers, size = numbers.reshape(identities.shape), len(names)
    place = numbers[:, 0] * size + numbers[:, 1]
    pairs = [
        np.bincount(place[kind], accepted[kind] if only else None, size**2).reshape(size, size)
        for kind in (same == 0, same == 1)
        for only in (True, False)
    ]
    times = np.stack(list(draws(size, resamples, seed))).astype(np.float64)
    wrong, different = (((times @ x) * times).sum(axis=1) for x in pairs[:2])
    right, alike = (times @ np.diag(x) for x in pairs[2:])
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = {
            "far": wrong / different,
            "recall": right / alike,
            "precision": right / (right + wrong),
            "f1": 2 * right / (right + wrong + alike),
        }
    return size, {name: percentiles(values, confidence) for name, values in drawn.items()}


def _check(same, identities, confidence: float, resamples: int) -> None:
    agree = identities.shape == (len(same), 2)
    if agree:
        agree = np.array_equal(identities[:, 0] == identities[:, 1], same == 1)
    if not agree:
        raise ValueError(
            f"The identities do not fit the pairs. Expected shape ({len(same)}, 2), two equal ones "
            "where `same` is 1 and two different ones where it is 0. "
            f"Received: shape {identities.shape}."
        )
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(
            "The interval is not defined. Expected 0 < confidence < 1 and resamples from 1 on. "
            f"Received: confidence={confidence!r}, resamples={resamples!r}."
        )

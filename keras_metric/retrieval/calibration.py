"""Calibration: choose and save the distance up to which two embeddings count as the same."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_metric.arguments import number
from keras_metric.batches.classes import integer_labels
from keras_metric.metrics.exact import between
from keras_metric.metrics.intervals import draws, percentiles
from keras_metric.metrics.ranking import check_pairing, embedding_matrix
from keras_metric.metrics.verification_scores import steps, threshold_after
from keras_metric.retrieval.encoding import made_by

MOST = 3000  # embeddings whose pairs are all looked at
FEW = 20  # identities whose intervals are too narrow
SPREAD = 1e-6  # of the largest coordinate: embeddings that differ by less have collapsed


@dataclass(frozen=True)
class Calibration:
    """A threshold, its rates on the pairs it was chosen on, and their confidence intervals.

    Attributes:
        threshold: in the unit of `distance`; items at this distance or nearer count as the same.
        target: "far", "precision", "recall" or "f1"; `asked` is the requested value.
        rates: far, recall (the true accept rate), precision and f1 at the threshold.
        intervals: bootstrap interval of each rate, over identities.
        identities, same, different: the number of each.
        fingerprint: of the model that made the embeddings, if it was given.
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
        """Whether each distance is a match: at most the threshold, compared in float64."""
        return np.asarray(distances, np.float64) <= self.threshold

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Calibration":
        """The calibration from the result of `as_json`.

        Raises:
            ValueError: it is not a calibration.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(content, dict) or content.keys() != names:
            raise ValueError(
                f"This is no calibration. Expected: the keys {', '.join(sorted(names))}. "
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
        if self.identities is not None and self.identities < FEW:
            lines.append(f"fewer than {FEW} identities: do not rely on the intervals")
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

    Use classes that were not used for training. Precision and f1 depend on the number of pairs of
    each kind. A search compares with many records: in a gallery of n, up to n times `far` of the
    queries that are not in it find a match, see `open_set`.

    Args:
        labels: integers (N,), the identities.
        model: the model that made the embeddings; its fingerprint is stored, so that the threshold
            is not used with another model.
        confidence, resamples, seed: of the intervals, see `intervals`.

    Of more than 3,000 embeddings, 3,000 are drawn at random.

    Raises:
        ValueError: two targets, a target that no threshold reaches or that cannot be measured with
            so few pairs, pairs of only one kind, or embeddings that are all equal.
    """
    found, labels = embedding_matrix(embeddings), integer_labels(labels)
    check_pairing(found, labels)
    if np.ptp(found, axis=0).max() <= SPREAD * np.abs(found).max():
        raise ValueError(
            "The embeddings have collapsed: no threshold tells them apart. Expected: embeddings "
            f"that differ. Received: {len(found):,} that are equal up to rounding."
        )
    if len(found) > MOST:
        drawn = np.random.default_rng(seed).permutation(len(found))[:MOST]
        found, labels = found[drawn], labels[drawn]
    name = getattr(distance, "__name__", distance)
    apart = between(found, found, distance)(slice(None))
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

    Without identities there are no intervals. The rates are those of `distances <= threshold`.

    Raises:
        ValueError: as in `calibrate`; or `same` has other values than 0 and 1.
    """
    target, asked = check_target(far=far, precision=precision, recall=recall)
    distances, same = np.asarray(distances), np.asarray(same)
    threshold = chosen(distances, same, target, asked)
    same = same.astype(bool)
    found = Calibration(
        threshold, distance, target, asked, {}, {}, confidence, None, int(same.sum()),
        int((~same).sum()), made_by(model),
    )  # fmt: skip
    accepted = found.decide(distances)
    counts = [[(accepted & same).sum()], [(accepted & ~same).sum()]]
    stated = rates_of(*counts, found.same, found.different)
    found = replace(found, rates={name: float(value[0]) for name, value in stated.items()})
    if identities is None:
        return found
    who, sure = intervals(accepted, same, identities, confidence, resamples, seed)
    return replace(found, identities=who, intervals=_around(found.rates, sure))


def rates_of(right, wrong, alike, others) -> dict[str, np.ndarray]:
    """The rates where `right` pairs of one class and `wrong` pairs of two are accepted."""
    right, wrong = np.asarray(right, np.float64), np.asarray(wrong, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "far": wrong / others,
            "recall": right / alike,
            "precision": np.where(right + wrong > 0, right / (right + wrong), 0),
            "f1": 2 * right / (right + wrong + alike),
        }


def _around(rates: Mapping[str, float], drawn: Mapping[str, tuple[float, float]]) -> dict:
    """The intervals that are defined, each wide enough for its own estimate."""
    return {
        name: (min(low, rates[name]), max(high, rates[name]))
        for name, (low, high) in drawn.items()
        if np.isfinite(low) and np.isfinite(high)
    }


def save_calibration(calibration: Calibration, path: str | Path) -> None:
    """Write a calibration as JSON, atomically."""
    text = json.dumps(calibration.as_json(), indent=2, allow_nan=False)
    partial = Path(path).with_name(f".{Path(path).name}.{os.getpid()}.partial")
    try:
        partial.write_text(text + "\n", encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_calibration(path: str | Path) -> Calibration:
    """The calibration in a JSON file.

    Raises:
        ValueError: the file is something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be read. Expected: the JSON of a calibration. Received: {error}."
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
            f"One threshold cannot have two targets. Expected: one of {', '.join(targets)}, or "
            f"none for the best f1. Received: {', '.join(given)}."
        )
    for name, value in given.items():
        return name, number(name, value, above=0, most=1)
    return "f1", None


def chosen(distances: np.ndarray, same: np.ndarray, target: str, asked: float | None) -> float:
    """The threshold that reaches a target on these pairs.

    Raises:
        ValueError: no threshold does, or all distances are equal.
    """
    values, alike, others = steps(distances, same)
    if len(values) == 1:
        raise ValueError(
            "All distances are equal: no threshold tells the pairs apart. Expected: at least two "
            f"distances. Received: {len(distances):,} pairs at {values[0]:g}."
        )
    counts = int(alike.sum()), int(others.sum())
    accepted = (np.concatenate([[0], np.cumsum(kind)]) for kind in (alike, others))
    return threshold_after(values, _step(rates_of(*accepted, *counts), target, asked, counts))


def _step(table: dict, target: str, asked: float | None, counts: tuple[int, int]) -> int:
    if asked is None:
        return int(table["f1"].argmax())
    if target == "far":
        if asked * counts[1] < 1:
            raise ValueError(
                f"So few pairs cannot show a false accept rate of {asked:g}. Expected: at least "
                f"{int(np.ceil(1 / asked)):,} pairs of two classes. Received: {counts[1]:,}."
            )
        return int(np.flatnonzero(table["far"] <= asked)[-1])
    reached = np.flatnonzero(table[target] >= asked)
    if not len(reached):
        raise ValueError(
            f"No threshold reaches this {target}. Expected: at most {table[target].max():.4f}, the "
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

    Identities are resampled with replacement, not pairs: pairs that share an identity are not
    independent. A pair of two identities counts the product of how often each was drawn, a pair of
    one identity as often as it was drawn. Two draws of one of n identities form no pair of two,
    which leaves (n - 1) / n of those pairs on average: they count n / (n - 1) times, so that
    precision and f1 are centered on their estimates. Bolle, Ratha, Pankanti, "Error analysis of
    pattern recognition systems: the subsets bootstrap", Computer Vision and Image Understanding
    93, 2004, in its form over persons.

    accepted, same: booleans (M,). identities: (M, 2).

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
        for kind in (~same, same)
        for only in (True, False)
    ]
    times = np.stack(list(draws(size, resamples, seed))).astype(np.float64)
    whole = size / max(size - 1, 1)
    wrong, different = (((times @ x) * times).sum(axis=1) * whole for x in pairs[:2])
    right, alike = (times @ np.diag(x) for x in pairs[2:])
    drawn = rates_of(right, wrong, alike, different)
    return size, {name: percentiles(values, confidence) for name, values in drawn.items()}


def _check(same, identities, confidence: float, resamples: int) -> None:
    agree = identities.shape == (len(same), 2)
    if agree:
        agree = np.array_equal(identities[:, 0] == identities[:, 1], same)
    if not agree:
        raise ValueError(
            f"The identities do not fit the pairs. Expected: shape ({len(same)}, 2), two equal "
            "ones where `same` is 1 and two different ones where it is 0. "
            f"Received: shape {identities.shape}."
        )
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(
            "The interval is not defined. Expected: 0 < confidence < 1 and resamples from 1 on. "
            f"Received: confidence={confidence!r}, resamples={resamples!r}."
        )

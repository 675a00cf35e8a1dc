"""From which distance on two things are no longer the same: a threshold, chosen and kept."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_metric import distances
from keras_metric.batches.classes import integer_labels
from keras_metric.metrics.ranking import check_pairing, embedding_matrix
from keras_metric.retrieval.choosing import check_target, chosen
from keras_metric.retrieval.encoding import made_by
from keras_metric.retrieval.uncertainty import intervals

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
    there are. A search compares with many records: with n strangers in the index, up to n times
    `far` of the searches find one within the threshold, see `open_set`.

    Args:
        labels: integers (N,), the identities.
        model: what made the embeddings; kept, so that the threshold is not used with another.
        confidence, resamples, seed: of the intervals, see `uncertainty`.

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


def save(calibration: Calibration, path: str | Path) -> None:
    """Write a calibration as JSON."""
    text = json.dumps(calibration.as_json(), indent=2, allow_nan=False)
    Path(path).write_text(text + "\n", encoding="utf-8")


def load(path: str | Path) -> Calibration:
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

"""What goes wrong in a training, told in words with the values that were measured.

Every training of the zoo watches itself: after each epoch the embeddings of one training batch are
measured by `keras_metric.diagnostics`, and the losses so far are compared.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_metric import diagnostics
from zoo.progress import warn

COLLAPSED = 0.05  # spread of the embeddings
AT_THE_MARGIN = 0.02  # of the margin
STUCK = 3  # epochs
RISEN = 1.2  # times the loss of the first epoch
WORSE = 0.05  # of a held-out measure, since its best epoch
FALLEN = 0.8  # times the training loss of that epoch
LATER = 3  # epochs since then
CHECKED = 20  # batches from one look at the loss to the next
ROWS = 64  # of a batch, that are embedded


class NotFinite(ValueError):
    """The loss of a training is NaN or infinite."""


@dataclass
class Seen:
    """What was measured of a training: the logs of each epoch, and of each the embeddings."""

    history: Sequence[dict[str, float]]
    measured: list[dict[str, float]] = field(default_factory=list)
    margin: float | None = None
    rate: float | None = None

    def losses(self) -> list[float]:
        """Of every epoch the loss of the embeddings, or that of all."""
        names = [name for name in ("embeddings_loss", "loss") if name in self.history[0]]
        return [float(logs[names[0]]) for logs in self.history] if names else []


class Diagnosis(keras.callbacks.Callback):
    """Says once each what goes wrong; the sentences are in `told`.

    Args:
        batches: those of the training; batch 0 of an epoch is embedded after it. None embeds none.
        history: the logs of the epochs before, of a training that goes on.
        say: is given each sentence.

    Raises, while `fit` runs:
        NotFinite: the loss is NaN or infinite, with what was measured.
    """

    def __init__(self, batches: Any, history: Sequence[dict], say: Callable[[str], None] = warn):
        super().__init__()
        self.batches, self.say = batches, say
        self.before = history
        self.seen = Seen(list(history))
        self.told: list[str] = []
        self._kinds: set[str] = set()
        self._encoder: keras.Model | None = None

    def on_train_begin(self, logs=None):
        self.seen = Seen(list(self.before), margin=_margin(self.model))
        self._encoder = _encoder(self.model)
        sample = self._sample()
        if sample is not None:
            self._tell("positives", _no_positives(sample[1]))
            self.seen.measured.append(self._measure(sample))

    def on_train_batch_end(self, batch, logs=None):
        if batch % CHECKED == 0 and logs and not math.isfinite(float(logs.get("loss", 0.0))):
            self._stop(f"at batch {batch + 1}", logs)

    def on_epoch_end(self, epoch, logs=None):
        logs = {} if logs is None else logs
        if not all(math.isfinite(float(value)) for value in logs.values()):
            self._stop(f"in epoch {epoch + 1}", logs)
        self.seen.history = [*self.seen.history, logs]  # callbacks that follow add their measures
        self.seen.rate = _rate(self.model)
        sample = self._sample()
        if sample is not None:
            self.seen.measured.append(self._measure(sample))
        self._tell_all()

    def on_train_end(self, logs=None):
        if self.seen.history:
            self._tell_all()

    def _tell_all(self) -> None:
        for kind, sentence in sentences(self.seen).items():
            self._tell(kind, sentence)

    def _tell(self, kind: str, sentence: str | None) -> None:
        if sentence is not None and kind not in self._kinds:
            self._kinds.add(kind)
            self.told.append(sentence)
            self.say(sentence)

    def _stop(self, where: str, logs: dict[str, float]) -> None:
        sample = self._sample()
        rows = "" if sample is None else _not_finite_rows(self._measure(sample))
        shown = ", ".join(f"{name} {float(value):.4g}" for name, value in logs.items())
        rate = f"a learning rate of {_rate(self.model):.3g}"
        raise NotFinite(
            f"The loss is not finite {where}. Expected: finite numbers; a smaller learning_rate "
            f"may help. Received: {shown}, at {rate}{rows}."
        )

    def _sample(self) -> tuple[Any, np.ndarray | None] | None:
        """Images and labels of a batch; None where they are not those of an embedding network."""
        draw = getattr(self.batches, "batch", None)
        if draw is None or self._encoder is None:
            return None
        images, labels = draw(self.batches.epoch, 0)[:2]
        if isinstance(labels, dict):
            labels = labels.get("embeddings")
        if isinstance(images, tuple | list):  # pairs or triplets
            return images[0][:ROWS], None
        plain = (
            labels is not None and np.ndim(labels) == 1 and np.asarray(labels).dtype.kind in "iu"
        )
        return images[:ROWS], np.asarray(labels)[:ROWS] if plain else None

    def _measure(self, sample) -> dict[str, float]:
        images, labels = sample
        embeddings = np.asarray(self._encoder.predict_on_batch(images))
        return measured(embeddings, labels)


def measured(embeddings: np.ndarray, labels: np.ndarray | None) -> dict[str, float]:
    """Spread, rows that are not finite, and mean distances, of embeddings (B, D)."""
    metrics = {
        "spread": diagnostics.EmbeddingSpread(),
        "not finite": diagnostics.NonFiniteRows(),
    }
    if labels is not None:
        metrics["positive distance"] = diagnostics.MeanPositiveDistance()
        metrics["negative distance"] = diagnostics.MeanNegativeDistance()
    found = {"rows": float(len(embeddings))}
    for name, metric in metrics.items():
        metric.update_state(
            np.zeros(len(embeddings), int) if labels is None else labels, embeddings
        )
        found[name] = float(metric.result())
    return found


def sentences(seen: Seen) -> dict[str, str]:
    """What is wrong after the last epoch, by its kind."""
    found = {
        "collapse": _collapse(seen),
        "margin": _at_the_margin(seen),
        "rate": _rate_too_high(seen),
        "overfitting": _overfitting(seen),
    }
    return {kind: sentence for kind, sentence in found.items() if sentence is not None}


def _no_positives(labels: np.ndarray | None) -> str | None:
    if labels is None or len(np.unique(labels)) < len(labels):
        return None
    return (
        f"no positives in batches: {len(labels)} images of as many classes, so nothing is pulled "
        "together. Try images_per_class=2 or more, or two crops of each image"
    )


def _not_finite_rows(found: dict[str, float]) -> str:
    return f", {found['not finite']:.0f} of {found['rows']:.0f} embeddings not finite"


def _collapse(seen: Seen) -> str | None:
    """Little spread, and less than at first, or for several epochs; classes no further apart."""
    if len(seen.measured) < 2:
        return None
    last, first = seen.measured[-1], seen.measured[0]
    near = last.get("positive distance", 0.0), last.get("negative distance", 0.0)
    apart = "negative distance" in last and near[1] > 1.5 * near[0] > 0
    lasting = all(one["spread"] < COLLAPSED for one in seen.measured[-STUCK:])
    lower = last["spread"] < first["spread"] / 2
    long = len(seen.measured) > STUCK and lasting
    if not last["spread"] < COLLAPSED or apart or not (lower or long):
        return None
    distances = (
        f", mean distance {near[0]:.3g} within classes and {near[1]:.3g} between them"
        if "negative distance" in last
        else ""
    )
    return (
        f"all embeddings are becoming equal (spread {last['spread']:.2g}, at first "
        f"{first['spread']:.2g}{distances}): try a smaller learning rate, semi-hard mining "
        "instead of hard, embeddings of unit length, or larger batches"
    )


def _at_the_margin(seen: Seen) -> str | None:
    losses = seen.losses()[-STUCK:]
    if not seen.margin or len(losses) < STUCK:
        return None
    if not all(abs(loss - seen.margin) <= AT_THE_MARGIN * seen.margin for loss in losses):
        return None
    return (
        f"the loss is stuck at the margin ({losses[-1]:.4g} of {seen.margin:g}, {STUCK} epochs): "
        "negatives are as near as positives, as they are when all embeddings are equal. Try "
        "semi-hard mining, a smaller learning rate, or another loss"
    )


def _rate_too_high(seen: Seen) -> str | None:
    losses = seen.losses()
    if len(losses) < 2 or not losses[-1] > RISEN * losses[0] > 0:
        return None
    at = "" if seen.rate is None else f", {seen.rate:.3g} now,"
    return (
        f"the training loss rises: {losses[0]:.4g} in the first epoch, {losses[-1]:.4g} in epoch "
        f"{len(losses)}. The learning rate{at} is probably too high: try a tenth, or a warm-up"
    )


def _overfitting(seen: Seen) -> str | None:
    """A held-out measure has been falling for epochs while the training loss went on falling."""
    losses = seen.losses()
    for name, better in _held_out(seen.history[0]):
        values = [float(logs[name]) for logs in seen.history if name in logs]
        losses = losses[: len(values)]
        best = int(np.argmax([better * value for value in values]))
        since = len(values) - 1 - best
        worse = better * (values[best] - values[-1]) > WORSE * abs(values[best])
        if since >= LATER and worse and losses[-1] < FALLEN * losses[best]:
            return (
                f"overfitting since epoch {best + 1}: the training loss fell from "
                f"{losses[best]:.4g} to {losses[-1]:.4g} while {name} went from "
                f"{values[best]:.4g} to {values[-1]:.4g}. Try fewer epochs, more augmentation, "
                "more images, or fewer layers that learn"
            )
    return None


def _held_out(logs: dict[str, float]) -> list[tuple[str, int]]:
    """Names of held-out measures, and 1 where more is better, -1 where less is."""
    measures = [(name, 1) for name in logs if name.startswith("val_set_")]
    return measures or [(name, -1) for name in ("val_embeddings_loss", "val_loss") if name in logs]


def _encoder(model) -> keras.Model | None:
    """The part of a network in training that embeds one image; None for other models."""
    encoders = getattr(model, "encoders", None)
    if encoders is not None:
        return encoders[0] if isinstance(encoders, tuple) else encoders
    if isinstance(model, keras.Sequential) and getattr(model.layers[-1], "reads_embeddings", False):
        return model.layers[0] if isinstance(model.layers[0], keras.Model) else None
    outputs = getattr(model, "output", None)
    if isinstance(outputs, dict) and "embeddings" in outputs:
        return keras.Model(model.inputs, outputs["embeddings"])
    outputs = getattr(model, "outputs", None) or []
    vectors = len(outputs) == 1 and len(outputs[0].shape) == 2
    return model if vectors and hasattr(getattr(model, "loss", None), "against") else None


def _margin(model) -> float | None:
    """The margin of a triplet loss, which the loss stays at when embeddings are equal."""
    losses = model.loss if isinstance(getattr(model, "loss", None), dict) else {"": model.loss}
    for loss in losses.values():
        if "Triplet" in type(loss).__name__ and not getattr(loss, "soft", False):
            return getattr(loss, "margin", None)
    return None


def _rate(model) -> float:
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))

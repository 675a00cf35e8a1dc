"""Which threshold reaches a target on given pairs."""

import numpy as np

from keras_metric.arguments import number
from keras_metric.metrics import rates
from keras_metric.metrics.verification_scores import between, steps


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
    return between(values, step), {name: float(v[step]) for name, v in table.items()}, counts


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

"""The index and the threshold saved next to a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.pretrained import is_named
from zoo.runs.runs import Run, load

if TYPE_CHECKING:
    import keras

    from keras_metric.retrieval import Calibration, Index


def load_index(path: str | Path) -> "Index":
    """The index in a run's folder, with the run's model as its encoder.

    Raises:
        FileNotFoundError: no run, or no index in it.
        ValueError: the index was made by other weights, or is damaged.
    """
    from keras_metric.retrieval import Index

    return Index.load(Run.of(path).index, load(path))


def index_place(model: str | Path, given: str | Path | None = None) -> Path:
    """The folder of the index of a model: the one given, else that of the run or name."""
    if given is not None:
        return Path(given)
    if Run.of(model).model.is_file() or is_named(model):
        return Run.of(model).index
    raise ValueError(
        "No index was named. Expected: its folder, or as the model the folder of "
        f"a run, which holds its own. Received: {model}."
    )


def calibration_place(model: str | Path, given: str | Path | None = None) -> Path:
    """The file of the threshold of a model: the one given, else next to the model."""
    if given is not None:
        return Path(given)
    if Run.of(model).model.is_file() or is_named(model):
        return Run.of(model).calibration
    if Path(model).is_file():
        return Path(model).with_suffix(".calibration.json")
    raise ValueError(
        "No file for the threshold was named. Expected: its file, or as the model a run or "
        f"a .keras file, beside which it lies. Received: {model}."
    )


def calibration_of(model: str | Path, fingerprint: str, distance: str) -> "Calibration | None":
    """The calibration next to a model, if there is one of these weights and this distance."""
    from keras_metric.retrieval import load_calibration

    try:
        place = calibration_place(model)
    except ValueError:
        return None
    if not place.is_file():
        return None
    found = load_calibration(place)
    return found if (found.fingerprint, found.distance) == (fingerprint, distance) else None


def served_threshold(path: str | Path, model: "keras.Model") -> dict[str, Any]:
    """`threshold` and `distance` for an export of `model`, from its calibration, if it has one."""
    from keras_metric.retrieval import fingerprint, load_calibration

    place = calibration_place(path)
    if not place.is_file():
        return {}
    found = load_calibration(place)
    if found.fingerprint != fingerprint(model):
        return {}
    return {"threshold": found.threshold, "distance": found.distance}

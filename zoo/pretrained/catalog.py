"""Trained models whose weights this package contains: what they are, and where their files lie.

Each has a folder in `models` with `model.keras`, its card `README.md` and `metrics.json`, as a run
has them; `models.json` has their checksums and shapes. Listing them reads JSON only.
"""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from zoo.files import read_json

__all__ = ["FOLDER", "TrainedModel", "folder", "is_trained", "trained"]

FOLDER = Path(__file__).parent / "models"


class TrainedModel(NamedTuple):
    """A trained model of the zoo.

    - `name`: of the model and of the recipe that trained it. `about`: what it is, in one line.
    - `task`: as hubs call it. `input`, `output`: shapes without the batch; None is any size.
    - `parameters`: of the whole model. `bytes`, `sha256`: of its file.
    - `results`: what its card says it measured. `license`: of the data it was trained on.
    - `backbone`: the pretrained network that the file is the head of, if it is one.
    - `command`: trains it again.
    """

    name: str
    about: str
    task: str
    input: tuple[int | None, ...]
    output: tuple[int | None, ...]
    parameters: int
    bytes: int
    sha256: str
    results: dict[str, float]
    license: str
    backbone: str | None
    command: str


def trained(pattern: str = "*") -> list[TrainedModel]:
    """The trained models whose name matches `pattern` (`*` and `?` as in file names), in order.

    `zoo.load(name)` opens one.
    """
    return [_model(name) for name in sorted(_facts()) if fnmatchcase(name, pattern)]


def is_trained(model: str | Path) -> bool:
    """Whether `model` names a trained model; an existing file or folder has priority."""
    return str(model) in _facts() and not Path(model).exists()


def folder(name: str) -> Path:
    """The folder of a trained model, after the checksum of its file was compared.

    Raises:
        ValueError: the file is not the one that was published.
    """
    place, expected = FOLDER / name, _facts()[name]["sha256"]
    received = hashlib.sha256((place / "model.keras").read_bytes()).hexdigest()
    if received != expected:
        raise ValueError(
            f"The file of the trained model {name} is damaged or was replaced: install "
            f"keras-metric again. Expected: sha256 {expected}. Received: {received}."
        )
    return place


@cache
def _facts() -> dict[str, dict[str, Any]]:
    return read_json(FOLDER.parent / "models.json")


def _model(name: str) -> TrainedModel:
    facts, report = _facts()[name], read_json(FOLDER / name / "metrics.json")
    return TrainedModel(
        name,
        facts["about"],
        facts["task"],
        tuple(facts["input"]),
        tuple(facts["output"]),
        report["parameters"],
        facts["bytes"],
        facts["sha256"],
        report["results"],
        report["data"]["license"],
        facts["backbone"],
        report["command"],
    )

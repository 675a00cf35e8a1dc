"""A preset is a folder that contains a model and everything needed to use it.

    model.keras       the model
    preset.json       names of the classes, threshold, facts
    README.md         the card
    saved_model/1     for TensorFlow Serving, with the same labels, threshold and facts

The folder of a run is a preset, too; `zoo.load` and `zoo.export` take both.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.files import write_json, write_text
from zoo.reports.metadata import plain_front_matter
from zoo.runs import hub
from zoo.runs.exporting import export
from zoo.runs.runs import Run, load

if TYPE_CHECKING:
    import keras

LEFT_OUT = ("checkpoint", "saved_model", ".*")


class Preset(NamedTuple):
    """A model of a preset; `labels` and `threshold` are None if they are unknown."""

    folder: Path
    model: "keras.Model"
    labels: list[str] | None
    threshold: float | None
    facts: dict[str, Any]


def save(
    source: "keras.Model | str | Path",
    folder: str | Path,
    *,
    labels: Sequence[str] | None = None,
    threshold: float | None = None,
    facts: Mapping[str, Any] | None = None,
    card: str | None = None,
) -> Path:
    """Save a preset, atomically; its SavedModel is verified first.

    Args:
        source: a model; or the folder of a run or preset, whose card, facts and pictures are
            included.
        folder: the preset's, which must not exist.
        labels: names of the classes of a classifier, in order.
        threshold: distance up to which two images count as the same, chosen on your own data.
        facts: other facts to store, such as license, training data, results; as JSON.
        card: the Markdown text of the card; by default created from the facts.

    Raises:
        FileExistsError: the folder exists.
        FileNotFoundError: there is no model at `source`.
        ValueError, TypeError: an argument does not match the model.
    """
    from keras_metric.export import written_atomically

    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(
            f"{folder} is in use. Expected: a new folder for the preset. Received: one that exists."
        )
    with written_atomically(folder) as draft:
        place = Run(draft)
        if isinstance(source, str | Path):
            load(source)
            _copy(hub.fetch(str(source)) if hub.is_name(source) else Path(source), draft)
        else:
            source.save(place.model)
        kept = place.kept()
        given = {"labels": labels and list(labels), "threshold": threshold, "facts": facts}
        kept |= {name: value for name, value in given.items() if value is not None}
        write_json(place.preset, kept)
        if card is not None or not place.card.exists():
            write_text(place.card, card or _card(folder.name, kept))
        export(draft)
    return folder


def preset(path: str | Path) -> Preset:
    """The preset (or run) in a folder, or on the hub (`hf://OWNER/NAME`).

    Raises:
        FileNotFoundError: there is no model.
        ValueError: one of its files cannot be read.
    """
    run = Run(hub.fetch(str(path)) if hub.is_name(path) else Path(path))
    return Preset(run.folder, load(run.folder), **run.kept())


def _copy(source: Path, draft: Path) -> None:
    if source.is_file():
        shutil.copyfile(source, Run(draft).model)
    else:
        ignored = shutil.ignore_patterns(*LEFT_OUT)
        shutil.copytree(source, draft, ignore=ignored, dirs_exist_ok=True)


def _card(name: str, kept: Mapping[str, Any]) -> str:
    lines = [*plain_front_matter(), f"# {name}", ""]
    if kept["labels"]:
        lines += [f"- classes: {', '.join(kept['labels'])}"]
    if kept["threshold"] is not None:
        lines += [f"- two images are the same up to a distance of {kept['threshold']}"]
    return "\n".join([*lines, *(f"- {key}: {value}" for key, value in kept["facts"].items()), ""])

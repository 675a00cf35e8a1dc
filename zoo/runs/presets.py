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

from keras_metric.preprocessing import Preprocessing, store
from zoo.files import write_json, write_text
from zoo.pretrained import is_trained
from zoo.reports.metadata import plain_front_matter
from zoo.runs.exporting import export
from zoo.runs.runs import Run, load, place

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
    preprocessing: Preprocessing | None = None,
) -> Path:
    """Save a preset, atomically; its SavedModel is verified first.

    Args:
        source: a model; or the folder of a run or preset, or the name of a trained model, whose
            card, facts and pictures are included.
        folder: the preset's, which must not exist.
        labels: names of the classes of a classifier, in order.
        threshold: distance up to which two images count as the same, chosen on your own data.
        facts: other facts to store, such as license, training data, results; as JSON.
        card: the Markdown text of the card; by default created from the facts.
        preprocessing: how pictures become its input; by default what the model carries.

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
        made = Run(draft)
        if isinstance(source, str | Path):
            model = load(source)
            _copy(place(source), draft)
            if is_trained(source):
                model.save(made.model)  # its file may be the head of a backbone
        else:
            source.save(made.model)
        if preprocessing is not None:
            store(made.model, preprocessing)
        kept = made.kept()
        given = {"labels": labels and list(labels), "threshold": threshold, "facts": facts}
        kept |= {name: value for name, value in given.items() if value is not None}
        write_json(made.preset, kept)
        if card is not None or not made.card.exists():
            write_text(made.card, card or _card(folder.name, kept))
        export(draft)
    return folder


def preset(path: str | Path) -> Preset:
    """The preset (or run) in a folder, on the hub (`hf://OWNER/NAME`), or of a trained model.

    Raises:
        FileNotFoundError: there is no model.
        ValueError: one of its files cannot be read.
    """
    run = Run(place(path))
    model = load(path if is_trained(path) else run.folder)
    return Preset(run.folder, model, **run.kept())


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

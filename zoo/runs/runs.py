"""A run is a folder with the model, its results, card and pictures, and its exports."""

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_metric.preprocessing import attach, in_file
from zoo import pretrained
from zoo.files import read_json, write_json
from zoo.pretrained import catalog
from zoo.recipe import names
from zoo.runs import hub

if TYPE_CHECKING:
    import keras

SETTINGS_BEFORE = {  # their names in 0.1.0
    "classes": "classes_per_batch",
    "images": "images_per_class",
    "steps": "batches_per_epoch",
}
DATA_BEFORE = {"licence": "license"}

FACTS = ("recipe", "settings", "data", "results", "baselines", "versions")


@dataclass(frozen=True)
class Run:
    """The paths of the parts of a run in its folder."""

    folder: Path

    @classmethod
    def of(cls, model: str | Path) -> "Run":
        """The run whose folder `model` is, or where what belongs to a model by name is kept."""
        return cls(pretrained.written_to(model))

    @property
    def model(self) -> Path:
        return self.folder / "model.keras"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def card(self) -> Path:
        return self.folder / "README.md"

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    @property
    def saved_model(self) -> Path:
        return self.folder / "saved_model"

    @property
    def index(self) -> Path:
        return self.folder / "index"

    @property
    def calibration(self) -> Path:
        return self.folder / "calibration.json"

    @property
    def plan(self) -> Path:
        """The recipe and settings the run began with, there from its first moment."""
        return self.folder / "run.json"

    @property
    def preset(self) -> Path:
        """What `zoo.save` stores with a model: labels, threshold, facts."""
        return self.folder / "preset.json"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint"

    @property
    def finished(self) -> bool:
        return self.metrics.exists()

    def report(self) -> dict[str, Any]:
        """What was measured.

        Raises:
            FileNotFoundError: the folder holds no finished run.
        """
        if not self.finished:
            raise FileNotFoundError(
                f"{self.folder} does not contain a finished run. Expected: a folder with "
                "metrics.json, as `keras-metric train` leaves it. Received: "
                f"{_inside(self.folder)}."
            )
        report = _renamed(read_json(self.metrics))
        wanted = {*FACTS, "training"}
        if not isinstance(report, dict) or not wanted <= report.keys():
            raise ValueError(
                f"{self.metrics} is not the file of a run. Expected: the keys "
                f"{', '.join(sorted(wanted))}. Received: {str(list(report or ()))[:80]}."
            )
        return report

    def kept(self) -> dict[str, Any]:
        """Labels, threshold and facts of the model, as far as they are known.

        Raises:
            ValueError: `preset.json` is not that of a preset.
        """
        kept = {"labels": None, "threshold": None, "facts": {}}
        if self.finished:
            report = self.report()
            kept["facts"] = {key: report[key] for key in FACTS}
        if self.preset.exists():
            found = read_json(self.preset)
            if isinstance(found, dict) and isinstance(found.get("facts"), dict):
                found["facts"] = _renamed(found["facts"])
            if not isinstance(found, dict) or found.keys() != kept.keys():
                raise ValueError(
                    f"{self.preset} is not the file of a preset. Expected: the keys "
                    f"{', '.join(kept)}. Received: {str(found)[:80]}."
                )
            kept = found
        return kept

    def holds(self, recipe: str, settings: dict[str, Any]) -> bool:
        """True when this very run is here, finished or not; False when the place is free.

        Raises:
            FileExistsError: the folder contains another run or other files.
        """
        plan = _plan(recipe, settings)
        if self.folder.is_file():
            raise FileExistsError(
                f"{self.folder} is in use. Expected: a folder, or nothing. Received: a file."
            )
        if not self.plan.exists():
            if self.folder.exists() and any(_visible(self.folder)):
                raise FileExistsError(
                    f"{self.folder} is in use. Expected: an empty folder or a run of {recipe!r}. "
                    f"Received: {_inside(self.folder)}."
                )
            return False
        before = self.begun()
        if before != plan and (self.finished or self.checkpoint.exists()):
            raise FileExistsError(
                f"{self.folder} contains another run. Expected: {_described(plan, before)}. "
                f"Received: {_described(before, plan)}. Choose another folder, or train with force "
                "to replace it."
            )
        return before == plan

    def begun(self) -> dict[str, Any]:
        """The recipe and settings that the run in this folder began with.

        Raises:
            FileExistsError: `run.json` is not that of a run.
        """
        plan = _renamed(read_json(self.plan))
        if not isinstance(plan, dict) or plan.keys() != {"recipe", "settings"}:
            raise FileExistsError(
                f"{self.plan} was not written by keras-metric. Expected: recipe and settings of a "
                "run, or no such file. Received: another JSON file."
            )
        return plan

    def begin(self, recipe: str, settings: dict[str, Any]) -> None:
        """Write the plan into the folder."""
        write_json(self.plan, _plan(recipe, settings))

    def clear(self) -> None:
        """Remove what a run has left, but for its SavedModels: a version is never replaced."""
        for file in (self.metrics, self.model, self.card, self.calibration):
            file.unlink(missing_ok=True)
        for folder in (self.checkpoint, self.pictures, self.index):
            shutil.rmtree(folder, ignore_errors=True)
        self.plan.unlink(missing_ok=True)


def place(model: str | Path, *, whole: bool = True) -> Path:
    """The folder or file of a model: of one on a hub, it is fetched; of a trained one, checked."""
    if hub.is_name(model):
        return hub.fetch(str(model), whole=whole)
    return catalog.folder(str(model)) if catalog.is_trained(model) else Path(model)


def load(path: str | Path) -> "keras.Model":
    """The model of a run's or preset's folder, of a file, of a hub, or by its name.

    Files are read by `keras_metric.convert.load`: `.keras` and `.h5` of Keras 3, `.h5` and `.hdf5`
    of older versions. Python code in a file (`Lambda` layers) is refused, not run.

    Args:
        path: of the folder or file, `hf://OWNER/NAME` (see `zoo.runs.hub`), or the name of a
            trained model or a backbone (see `zoo.pretrained`).

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: a file that cannot be read.
    """
    if pretrained.is_backbone(path):
        return pretrained.backbone(str(path))
    named, path = str(path), place(path, whole=False)
    file = Run(path).model if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no model at {path}. Expected: a run's folder with model.keras, a .keras or "
            f".h5 file, hf://OWNER/NAME, or one of {_named()}. Received: {_inside(path)}."
        )
    import keras

    from keras_metric import convert

    if not zipfile.is_zipfile(file):
        try:
            return convert.load(file)
        except (OSError, convert.ConversionError) as error:
            raise ValueError(
                f"{file} cannot be read. Expected: a whole .keras file, as Keras 3 saves it, or an "
                f".h5 file. Received: a file that breaks off or is of another kind ({error})."
            ) from error
    preprocessing = in_file(file)
    try:
        model = keras.saving.load_model(file, compile=False)
    except (TypeError, ValueError) as error:
        if "safe_mode" not in str(error):
            raise
        raise ValueError(
            f"{file} holds Python code (a Lambda layer), which is not run. Expected: a model "
            "without it: a layer of keras.layers, or a registered class of your own, does the "
            "same. Received: a file that keras.saving.load_model opens with safe_mode=False only."
        ) from error
    model = pretrained.whole(named, model)
    return model if preprocessing is None else attach(model, preprocessing)


def _named() -> str:
    names = (*pretrained.backbones(), *(one.name for one in pretrained.trained()))
    return ", ".join(names)


def _renamed(content: Any) -> Any:
    """What a run of an older version has left, under the names of this one.

    Only settings of recipes of the zoo are renamed; other recipes may use the old names.
    """
    if not isinstance(content, dict):
        return content
    found = dict(content)
    if isinstance(found.get("settings"), dict) and found.get("recipe") in names():
        settings = found["settings"]
        found["settings"] = {SETTINGS_BEFORE.get(key, key): settings[key] for key in settings}
    if isinstance(found.get("data"), dict):
        found["data"] = {DATA_BEFORE.get(key, key): found["data"][key] for key in found["data"]}
    return found


def _plan(recipe: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {"recipe": recipe, "settings": settings}


def _visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def _described(plan: dict[str, Any], other: dict[str, Any]) -> str:
    """The recipe, and those of its settings in which it differs from the other."""
    compared = other["settings"] if other["recipe"] == plan["recipe"] else {}
    differing = {k: v for k, v in plan["settings"].items() if (k, v) not in compared.items()}
    settings = " ".join(f"{key}={value}" for key, value in differing.items())
    return f"{plan['recipe']} with {settings}" if settings else plan["recipe"]


def _inside(folder: Path) -> str:
    if not folder.exists():
        return "nothing at that path"
    if folder.is_file():
        return "a file"
    names = _visible(folder)
    return f"a folder with {', '.join(names[:5])}" if names else "an empty folder"

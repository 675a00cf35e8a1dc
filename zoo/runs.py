"""A run is a folder: the model, what was measured, its card and pictures, and its exports."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.files import read_json, write_json

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Run:
    """Where the parts of a run lie in its folder."""

    folder: Path

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
    def plan(self) -> Path:
        """The recipe and settings the run began with, there from its first moment."""
        return self.folder / "run.json"

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
                f"{self.folder} holds no finished run. Expected a folder with metrics.json, as "
                f"`keras-metric train` leaves it. Received: {_inside(self.folder)}."
            )
        return read_json(self.metrics)

    def begin(self, recipe: str, settings: dict[str, Any]) -> bool:
        """Claim the folder for a run; True when the same run was here before.

        Raises:
            FileExistsError: another run lives in the folder.
        """
        plan = {"recipe": recipe, "settings": settings}
        if not self.plan.exists():
            if self.folder.exists() and any(self.folder.iterdir()):
                raise FileExistsError(
                    f"{self.folder} is in use. Expected an empty folder or a run of {recipe!r}. "
                    f"Received: {_inside(self.folder)}."
                )
            write_json(self.plan, plan)
            return False
        before = read_json(self.plan)
        if before != plan:
            raise FileExistsError(
                f"{self.folder} holds another run. Expected: {_told(plan)}. Received: "
                f"{_told(before)}. Choose another folder, or train with force to replace it."
            )
        return True


def load(path: str | Path) -> "keras.Model":
    """The encoder of a run's folder, or of a `.keras` file.

    Raises:
        FileNotFoundError: there is no such model.
    """
    import keras

    import keras_metric.distances  # noqa: F401  the layers and distances that files refer to
    import zoo.encoders.layers  # noqa: F401

    path = Path(path)
    file = Run(path).model if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no model at {path}. Expected a run's folder with model.keras, or a .keras "
            f"file. Received: {_inside(path)}."
        )
    return keras.saving.load_model(file, compile=False)


def export(path: str | Path, out: str | Path | None = None) -> Path:
    """Write the encoder of a run (or a `.keras` file) as a SavedModel; returns its version folder.

    Args:
        path: a run's folder, or a `.keras` file.
        out: the folder of the versions; `saved_model` beside the model by default.
    """
    from keras_metric.export import saved_model

    path = Path(path)
    model = load(path)
    run = Run(path if path.is_dir() else path.parent)
    metadata = {"model": path.name}
    if path.is_dir() and run.finished:
        report = run.report()
        metadata = {key: report[key] for key in ("recipe", "settings", "results", "versions")}
    return saved_model(model, Path(out) if out else run.saved_model, metadata=metadata)


def _told(plan: dict[str, Any]) -> str:
    settings = " ".join(f"{key}={value}" for key, value in plan["settings"].items())
    return f"{plan['recipe']} with {settings}"


def _inside(folder: Path) -> str:
    if not folder.exists():
        return "nothing at that path"
    if folder.is_file():
        return "a file"
    names = sorted(path.name for path in folder.iterdir())
    return f"a folder with {', '.join(names[:5])}" if names else "an empty folder"

"""Recipes: how a model is built, trained and evaluated; find a recipe and resolve its settings.

A recipe is a file whose `RECIPE` has its functions and their settings: one of `zoo/recipes`, found
by its name, or your own anywhere on the disk, found by its path. Listing and describing recipes
reads only file names and docstrings, without importing Keras.
"""

import ast
import difflib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

FOLDER = Path(__file__).parent / "recipes"
PHOTOGRAPHS = "photographs"  # the recipe of `keras-metric train my_photos/`; it needs photographs
MEASURED = "Measured:"  # begins the paragraph of a docstring that docs/collect.py writes

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How a model is built, trained and evaluated.

    The first six arguments are required. The defaults of the others are those of an embedding
    network.

    Args:
        settings: every setting that a run can change, with its default; always `seed` and `epochs`.
        data: `(settings, folder) -> Split`, the images for training and evaluation; `folder` is the
            one of the real data sets, or None for the default places.
        build: `(settings, split) -> keras.Model`, the untrained model.
        experiment: `(settings, model, split) -> Experiment`, the compiled model and its batches; or
            None if nothing is trained and `epochs` is 0.
        measure: `(settings, model, split) -> Measured`, or a tuple of its first fields: the results
            by name, those of the baselines, further tables.
        license: of the data, as it appears on the model card.
        preprocessing: `settings -> keras_metric.Preprocessing`, how pictures become its input, if
            that is not the default for the input of the model; it is stored with the model.
        refine: `(settings, model, split) -> (model, Experiment)`, a second training, of a model
            made from the trained one, for the setting `refine_epochs`; this second model is saved.
        pictures: `(settings, model, split) -> {file name: Picture}`, for the card.
        plan: `(settings, before) -> settings` that depend on the data filled in; it prints what it
            chose. `before` are the settings of the run that is in the folder, or None.
        finish: `(run, settings, model, split, report) -> dict`, writes further files of a finished
            run; the report contains what it returns as `left`.
        words: `settings -> words`, the arguments of `keras-metric train` that repeat a run; the
            default is the recipe's name and `--set` for each changed setting.
        served: `(settings, model) -> (model, options)`, the model to export as a SavedModel, and
            the options of `keras_metric.export.saved_model`.
        column: name of the model in the card's table.
        task: the model's task, as hubs name it: "image-feature-extraction",
            "image-classification", "image-segmentation" or "object-detection".
        protocol: a sentence for the card on the evaluation data.
        limits: a paragraph for the card on the intended use.
    """

    settings: Settings
    data: Callable
    build: Callable
    experiment: Callable
    measure: Callable
    license: str
    preprocessing: Callable | None = None
    refine: Callable | None = None
    pictures: Callable | None = None
    plan: Callable | None = None
    finish: Callable | None = None
    words: Callable | None = None
    served: Callable | None = None
    column: str = "this model"
    task: str = "image-feature-extraction"
    protocol: str = "Evaluated on images of classes that were not used for training."
    limits: str = (
        "The embedding compares images of the kind it was trained on, of known and new classes, "
        "by their distance. It is not suitable for other kinds of images. It measures how similar "
        "two images are, not whether they are the same: choose a threshold on your own data."
    )
    name: str = ""
    about: str = ""
    file: str = ""  # of a recipe outside the package

    def __post_init__(self):
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    @property
    def identity(self) -> str:
        """What `get` finds this recipe by: its name, or the path of its file."""
        return self.file or self.name

    def resolve_settings(self, overrides: Settings | None = None) -> dict[str, Any]:
        """The settings of a run: the defaults, replaced by `overrides` converted to their types."""
        resolved = dict(self.settings)
        for key, value in (overrides or {}).items():
            if key not in resolved:
                raise KeyError(_unknown("setting", key, resolved, f" of recipe {self.name!r}"))
            resolved[key] = _like(resolved[key], key, value)
        return resolved


def names(pattern: str = "*") -> list[str]:
    """The recipes whose name matches `pattern` (`*` and `?` as in file names), in order."""
    found = (path.stem.replace("_", "-") for path in FOLDER.glob("[a-z]*.py"))
    return sorted(name for name in found if fnmatchcase(name, pattern))


def get(name: str | Path) -> Recipe:
    """The recipe called `name`, or that of the file `my_recipe.py`.

    A file is run as Python code: give only files that you trust. Files beside it can be imported.

    Raises:
        KeyError: there is no such recipe; the message suggests the most similar name.
        FileNotFoundError: there is no such file.
        ValueError: the file has no `RECIPE`, or running it fails.
    """
    if is_file(name):
        return _of_file(Path(name).absolute())
    if name == PHOTOGRAPHS:
        module = import_module("zoo.photographs.recipe")
    elif name in names():
        module = import_module(f"zoo.recipes.{name.replace('-', '_')}")
    else:
        raise KeyError(_unknown("recipe", str(name), names()))
    return Recipe(**{**vars(module.RECIPE), "name": name, "about": _about(module.__doc__)})


def is_file(name: str | Path) -> bool:
    """Whether this is the path of a recipe, and not its name."""
    return Path(name).suffix == ".py"


def _of_file(file: Path) -> Recipe:
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no recipe at {file}. Expected: a Python file with RECIPE = zoo.Recipe(...). "
            "Received: no such file."
        )
    module = _imported(file)
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe):
        raise ValueError(
            f"{file} is no recipe. Expected: RECIPE = zoo.Recipe(...) in it. Received: "
            f"{'no RECIPE' if recipe is None else type(recipe).__name__}."
        )
    name, about = file.stem.replace("_", "-"), _about(module.__doc__ or f"The recipe {file.name}.")
    return Recipe(**{**vars(recipe), "name": name, "about": about, "file": str(file)})


def _imported(file: Path) -> ModuleType:
    """The module of a file, under a name of its own; its folder can be imported from meanwhile."""
    spec = spec_from_file_location(f"_recipe_{file.stem}", file)
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles look their module up
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(
            f"The recipe {file} cannot be run. Expected: Python with RECIPE = zoo.Recipe(...). "
            f"Received: {type(error).__name__}: {error}."
        ) from error
    finally:
        sys.path.remove(str(file.parent))
    return module


def _about(docstring: str) -> str:
    """A docstring without the paragraph of results, which is a table on the card."""
    return docstring.partition(f"\n{MEASURED}")[0].strip()


def summary(name: str) -> str:
    """The first line of a recipe's docstring, read without importing it."""
    source = (FOLDER / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def _unknown(kind: str, name: str, known, owner: str = "") -> str:
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"Unknown {kind}{owner}. Expected: one of {', '.join(known)}. Received: {name!r}.{hint}"


def _like(default: Any, key: str, value: Any) -> Any:
    """`value` as the type of `default`, so that a command line's text becomes a number."""
    kind = type(default)
    if isinstance(value, str) and kind is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if value.lower() in words:
            return words[value.lower()]
    elif isinstance(value, bool) != (kind is bool):
        pass
    elif isinstance(value, str) or kind is type(value) or (kind is float and type(value) is int):
        try:
            return kind(value)
        except ValueError:
            pass
    raise ValueError(
        f"Setting {key!r} has the wrong type. Expected: {kind.__name__}, such as {default!r}. "
        f"Received: {value!r}."
    )

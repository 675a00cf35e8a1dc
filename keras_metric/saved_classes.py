"""Import the modules of the registered classes that a saved model names, before Keras reads it.

Keras finds a class only after its module was imported, and a new process has imported few of them.
The modules of `keras_metric` that a file names are imported, and those of packages that registered:
by `register`, or by an entry point of the group `keras_metric.saved_classes` with the name of the
package.
"""

import re
import zipfile
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

__all__ = ["import_named", "import_of_archive", "register"]

_MODULE = re.compile(r'"module": ?"(\w+(?:\.\w+)+)"')
_packages = {"keras_metric"}
_moved: dict[str, str] = {}


def register(package: str, moved: Mapping[str, str] | None = None) -> None:
    """Also import modules of this top-level package when a saved model names them.

    `moved`: former names of modules, as saved models have them -> their names now.
    """
    _packages.add(package)
    _moved.update(moved or {})


def import_of_archive(path: Path) -> None:
    """`import_named` of a `.keras` file; one without a configuration is left to Keras."""
    with zipfile.ZipFile(path) as archive:
        if "config.json" in archive.namelist():
            import_named(archive.read("config.json").decode())


def import_named(config: str) -> None:
    """Import the modules of registered packages that the JSON of a model names, no others.

    One that is not there is left to Keras, which looks for the class by its registered name.
    """
    known = _packages | _installed()
    for module in sorted(set(_MODULE.findall(config))):
        package = module.partition(".")[0]
        if package in known:
            import_module(package)  # says which of its modules have moved
            try:
                import_module(_moved.get(module, module))
            except ModuleNotFoundError:
                continue


@cache
def _installed() -> frozenset[str]:
    return frozenset(entry.name for entry in entry_points(group="keras_metric.saved_classes"))

"""The registered classes that a saved model names, made known to Keras before it is read.

Keras knows a class once its module is imported, and a new process has imported few of them. Modules
of `keras_metric` are imported when a file names them, and those of packages that ask for it: by
`register`, or by an entry point of the group `keras_metric.saved_classes`, whose name is that of
the package.
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
    """Import modules of this top-level package, too, when a saved model names them.

    `moved`: the names that modules had when models were saved -> what they are called now.
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

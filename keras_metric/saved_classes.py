"""The registered classes that a saved model names, imported when Keras meets their module.

Keras knows a class once its module is imported, and a new process has imported few of them. From
`import keras_metric` on, whatever opens a model (`keras.models.load_model`, `from_config`, ...)
finds the classes of `keras_metric`, and those of packages that ask for it: by `register`, or by an
entry point of the group `keras_metric.saved_classes`, whose name is that of the package.
"""

import functools
import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.metadata import entry_points
from importlib.util import find_spec

__all__ = ["import_when_met", "register"]

_KERAS = "keras.src.saving.serialization_lib"  # where Keras finds the class of a configuration
_packages = {"keras_metric"}
_moved: dict[str, str] = {}


def register(package: str, moved: Mapping[str, str] | None = None) -> None:
    """Also import modules of this top-level package when a saved model names them.

    `moved`: former names of modules, as saved models have them -> their names now.
    """
    _packages.add(package)
    _moved.update(moved or {})


def import_when_met() -> None:
    """Have Keras, which need not be imported yet, find classes of packages that are registered."""
    if _KERAS in sys.modules:
        _teach(sys.modules[_KERAS])
    elif not any(isinstance(finder, _UntilKeras) for finder in sys.meta_path):
        sys.meta_path.insert(0, _UntilKeras())


class _UntilKeras(MetaPathFinder):
    """Waits for Keras to be imported, without importing it."""

    def find_spec(self, name, path, target=None):
        if name != _KERAS:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_teach(module):
            execute(module)
            _teach(module)

        spec.loader.exec_module = execute_and_teach
        return spec


def _teach(serialization) -> None:
    """Import the module that a configuration names before Keras looks for its class."""
    retrieve = getattr(serialization, "_retrieve_class_or_fn", None)  # private: it may be gone
    if retrieve is None or getattr(retrieve, "imports_when_met", False):
        return

    @functools.wraps(retrieve)
    def imported_first(name, registered_name, module, *others, **options):
        _import(module)
        return retrieve(name, registered_name, module, *others, **options)

    imported_first.imports_when_met = True
    serialization._retrieve_class_or_fn = imported_first


def _import(module: str | None) -> None:
    """Import a module of a registered package, or, where it is gone, what it was a part of."""
    package, *rest = (module or "").split(".")
    if package in ("", "keras") or "__main__" in rest or package not in _packages | _installed():
        return
    import_module(package)  # says which of its modules have moved
    module = _moved.get(module, module)
    while "." in module:
        try:
            import_module(module)
            return
        except ModuleNotFoundError as error:
            if not module.startswith(error.name or "-"):
                raise
            module = module.rpartition(".")[0]


@cache
def _installed() -> frozenset[str]:
    return frozenset(entry.name for entry in entry_points(group="keras_metric.saved_classes"))

"""Packages that are loaded when a dataset first needs them."""

from importlib import import_module
from types import ModuleType


def need(module: str, *, extra: str, purpose: str) -> ModuleType:
    """The imported `module`; an `ImportError` with the pip command of `extra` if it is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs the package of the module {module!r}, which is not installed. "
            f'Expected: pip install "keras-metric[{extra}]". Received: {error}.'
        ) from error

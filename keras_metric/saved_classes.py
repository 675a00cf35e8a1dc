"""The classes of this project that a saved model names, made known to Keras before it is read.

Keras knows a class once its module is imported, and a new process has imported few of them.
"""

import re
import zipfile
from importlib import import_module
from pathlib import Path

_OURS = re.compile(r'"module": ?"((?:keras_metric|zoo)(?:\.\w+)+)"')


def import_of_archive(path: Path) -> None:
    """`import_named` of a `.keras` file; one without a configuration is left to Keras."""
    with zipfile.ZipFile(path) as archive:
        if "config.json" in archive.namelist():
            import_named(archive.read("config.json").decode())


def import_named(config: str) -> None:
    """Import the modules of `keras_metric` and `zoo` that the JSON of a model names, no others.

    One that is not there is left to Keras, which looks for the class by its registered name.
    """
    for module in sorted(set(_OURS.findall(config))):
        try:
            import_module(module)
        except ModuleNotFoundError:
            continue

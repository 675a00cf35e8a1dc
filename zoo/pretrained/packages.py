"""Weights that a package brings: which package, which file in it, and how to install it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["PackagedWeights"]


@dataclass(frozen=True)
class PackagedWeights:
    """A file of weights inside an installed package, which is found but never imported.

    - `module`: the package's name in Python. `file`: the file's path inside it.
    - `install`: the command that installs it.
    - `license`: of the weights, as the package states it.
    """

    module: str
    file: str
    sha256: str
    install: str
    license: str

    def path(self) -> Path:
        """Where the file is; `ImportError` with the command that installs it if it is missing."""
        spec = find_spec(self.module)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if (path := Path(folder) / self.file).is_file():
                return path
        raise ImportError(
            f"The weights are in a package that is not installed. Expected: {self.install}. "
            f"Received: no module {self.module!r} with the file {self.file}."
        )

    def read(self) -> dict[str, np.ndarray]:
        """The tensors of the file by name, after its checksum was compared."""
        from zoo.pretrained.torch_files import read_tensors

        return read_tensors(self.path(), sha256=self.sha256)

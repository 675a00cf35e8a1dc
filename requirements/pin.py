"""Pin what the demo, the tests and the docs install: `python requirements/pin.py`, which needs uv.

The files carry hashes, no addresses, so any package index serves them. They are complete: pip
installs them with `--no-deps`. tf_keras asks for the package `tensorflow`, which owns the same
files as `tensorflow-cpu`; an override leaves it out. ai-edge-litert asks for backports-strenum,
whose newest version is for older Pythons only, which uv does not look at.
"""

import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
DEMO = ["cpu", "plots", "eval", "demo"]
OVERRIDES = "tensorflow ; python_version < '3'\nbackports-strenum < 1.3\n"
TEST = [*DEMO, "jax", "search", "milvus", "ray", "legacy", "litert", "onnx", "hub", "pretrained"]
TEST += ["serve", "test"]
KERAS_HUB = ["plots", "keras-hub", "test"]  # goes with one minor version of `tensorflow`


def pin(extras: list[str], target: Path, override: Path, agree: Path | None = None) -> None:
    """Write `target`; versions that the file `agree` has too are taken from there."""
    command = ["uv", "pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-emit-index-url", "--no-annotate", "--no-header", "-q"]
    command += [part for extra in extras for part in ("--extra", extra)]
    command += ["--override", str(override), "-o", str(target)]
    command += ["--constraint", str(agree)] if agree else []
    subprocess.run(command, cwd=HERE.parent, check=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        override = Path(folder) / "override.txt"
        override.write_text(OVERRIDES, encoding="utf-8")
        other = Path(folder) / "other.txt"
        other.write_text("", encoding="utf-8")
        pin(DEMO, HERE / "demo.txt", override)
        pin(TEST, HERE / "test.txt", override)
        pin(KERAS_HUB, HERE / "keras-hub.txt", other, agree=HERE / "test.txt")
        pin(["docs"], HERE / "docs.txt", override, agree=HERE / "test.txt")

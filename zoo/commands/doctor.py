"""show what is installed and how to install what is missing, or what a model takes and gives

With MODEL it shows what the model takes and gives, and how a picture becomes its input: size,
stretched, letterboxed or cropped, fill, interpolation, color and range of pixels.

examples:
  keras-metric doctor
  keras-metric doctor out/clothing-triplet
  KERAS_BACKEND=jax keras-metric doctor --json
"""

import importlib.util
import platform
import sys
from argparse import ArgumentParser, Namespace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from zoo.commands import Answer

EXTRAS = {
    "cpu": ("tensorflow", "TensorFlow, the default backend, and SavedModels"),
    "jax": ("jax", "the JAX backend"),
    "torch": ("torch", "the torch backend"),
    "plots": ("matplotlib", "pictures, and reading images"),
    "heic": ("pillow_heif", "photographs in HEIC files"),
    "eval": ("sklearn", "the digits, projections, clustering metrics"),
    "search": ("faiss", "search in large collections"),
    "milvus": ("pymilvus", "an index on a Milvus server or in its file"),
    "ray": ("ray", "embedding on many machines"),
    "legacy": ("tf_keras", "models saved by Keras 2"),
    "log": ("tensorboard", "values of a training in other programs"),
    "serve": ("starlette", "the local server"),
    "litert": ("ai_edge_litert", "files for LiteRT"),
    "onnx": ("tf2onnx", "files for ONNX"),
    "hub": ("huggingface_hub", "models from a hub"),
}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="a run, a .keras file, a SavedModel, hf://OWNER/NAME or a backbone's name",
    )


def run(options: Namespace) -> Answer:
    if options.model is not None:
        from zoo.inference.describing import described

        content = described(options.model)
        width = max(map(len, content))
        lines = [f"{name:{width}}  {value}" for name, value in content.items()]
        return Answer(content, "\n".join(lines))
    found = examine()
    return Answer(found, as_text(found), int(not found["usable"]))


def examine() -> dict[str, Any]:
    """Versions, backend, devices, and for each extra whether it is there.

    `usable` is False when no backend can be loaded; `problem` then says why.
    """
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in ("keras-metric", "keras", "numpy")},
        "extras": {extra: _version_of_module(module) for extra, (module, _) in EXTRAS.items()},
        "usable": True,
    }
    try:
        import keras

        found["backend"] = keras.config.backend()
        found["devices"] = _devices(found["backend"])
    except Exception as error:  # a broken backend may raise anything; its words are the diagnosis
        found.update(usable=False, problem=f"{type(error).__name__}: {error}")
    return found


def as_text(found: dict[str, Any]) -> str:
    """The examination as text, each missing extra with the command that gets it."""
    lines = [f"python    {found['python']} ({sys.executable})", f"platform  {found['platform']}"]
    lines += [f"{name:13} {number or 'missing'}" for name, number in found["packages"].items()]
    if found["usable"]:
        lines += [f"backend   {found['backend']}, on {', '.join(found['devices'])}"]
        if found["backend"] == "tensorflow" and not any("GPU" in d for d in found["devices"]):
            lines += ['          no GPU is visible; `pip install "keras-metric[gpu]"` for NVIDIA']
    else:
        lines += [
            f"backend   cannot be loaded: {found['problem']}",
            '          get one with `pip install "keras-metric[cpu]"`',
        ]
    lines += ["", "extras"]
    for extra, number in found["extras"].items():
        have = number or f'missing: `pip install "keras-metric[{extra}]"`'
        lines.append(f"  {extra:7} {EXTRAS[extra][1]:48} {have}")
    return "\n".join(lines)


def _devices(backend: str) -> list[str]:
    if backend == "tensorflow":
        import tensorflow as tf

        return [device.name.split(":", 1)[1] for device in tf.config.list_physical_devices()]
    if backend == "jax":
        import jax

        return [f"{device.platform}:{device.id}" for device in jax.devices()]
    import torch

    return ["gpu:0 " + torch.cuda.get_device_name(0)] if torch.cuda.is_available() else ["cpu"]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _version_of_module(module: str) -> str | None:
    if importlib.util.find_spec(module) is None:
        return None
    packages = {"sklearn": "scikit-learn", "faiss": "faiss-cpu"}
    names = [packages.get(module, module), f"{module}-cpu"]
    return next((number for number in map(_version, names) if number), "yes")

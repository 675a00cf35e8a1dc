"""show what is installed, why a GPU is not used, or what a model takes and gives

Each reason why the backend uses no GPU comes in three parts: what was seen, what it means, and the
command that mends it. With --json the facts behind it are given, too: attach them to a report.

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
import textwrap
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from zoo.commands import Answer, load_keras_quietly

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
        load_keras_quietly()
        from zoo.inference.describing import described

        content = described(options.model)
        width = max(map(len, content))
        lines = [f"{name:{width}}  {value}" for name, value in content.items()]
        return Answer(content, "\n".join(lines))
    found = examine()
    return Answer(found, as_text(found), int(not found["usable"]))


def examine() -> dict[str, Any]:
    """Versions, backend, devices, why no GPU is used, and for each extra whether it is there.

    `usable` is False when the backend cannot be loaded; `problem` then says why.
    """
    from zoo.gpu.backends import look
    from zoo.gpu.facts import gather
    from zoo.gpu.reasons import reasons

    seen = look()
    facts = gather(seen)
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in ("keras-metric", "keras", "numpy")},
        "extras": {extra: _version_of_module(module) for extra, (module, _) in EXTRAS.items()},
        "usable": not seen.problem,
        "backend": seen.backend,
        "devices": list(seen.devices),
        "gpu": {
            "used": bool(seen.gpus),
            "reasons": [reason._asdict() for reason in reasons(facts)],
            "facts": asdict(facts),
        },
    }
    return found | ({"problem": seen.problem} if seen.problem else {})


def as_text(found: dict[str, Any]) -> str:
    """The examination as text, each missing extra with the command that gets it."""
    lines = [f"python    {found['python']} ({sys.executable})", f"platform  {found['platform']}"]
    lines += [f"{name:13} {number or 'missing'}" for name, number in found["packages"].items()]
    if found["usable"]:
        lines += [f"backend   {found['backend']}, on {', '.join(found['devices'])}"]
    else:
        lines += [
            f"backend   {found['backend']} cannot be loaded: {found['problem']}",
            '          get one with `pip install "keras-metric[cpu]"`',
        ]
    lines += _gpu_as_text(found["gpu"])
    lines += ["", "extras"]
    for extra, number in found["extras"].items():
        have = number or f'missing: `pip install "keras-metric[{extra}]"`'
        lines.append(f"  {extra:7} {EXTRAS[extra][1]:48} {have}")
    return "\n".join(lines)


def _gpu_as_text(gpu: dict[str, Any]) -> list[str]:
    """Whether a GPU is used, and the reasons in three parts; commands stay on one line."""
    lines = [f"gpu       {'used' if gpu['used'] else 'not used'}"]
    for reason in gpu["reasons"]:
        lines.append("")
        for part in ("seen", "means"):
            lines += textwrap.wrap(
                reason[part], 98, initial_indent=f"  {part:6}", subsequent_indent=" " * 8
            )
        lines.append(f"  mend  {reason['mend']}")
    return lines


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

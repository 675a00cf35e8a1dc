"""Export of a model trained on JAX or torch, as TensorFlow's own operations.

JAX's own export consists of XLA code, which a TensorFlow server refuses by default. So the model is
saved, loaded by Keras on the TensorFlow backend in a process of its own, exported there, and its
answers are compared with those of this backend.
"""

import importlib
import importlib.util
import json
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

from keras_metric.export.processes import last_words, run_module
from keras_metric.export.saved_models.gallery import Gallery
from keras_metric.export.saved_models.model_parts import take_apart
from keras_metric.export.saved_models.options import Options

TOLERANCE = 1e-4  # between the float32 kernels of two backends


def write(model: keras.Model, draft: Path, options: Options) -> None:
    """Writes `model` as a SavedModel into `draft`, in a process on the TensorFlow backend.

    Raises:
        ImportError: TensorFlow is missing.
        ValueError: a layer's class is defined where no other process can import it.
        RuntimeError: the other process's refusal, in its words.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise ImportError(
            f"A SavedModel needs TensorFlow, whatever the backend ({keras.backend.backend()} here)."
            ' Expected: pip install "keras-metric[cpu]". Received: no package '
            "tensorflow."
        )
    modules = _modules(model)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model.save(place / "model.keras")
        np.savez(place / "probe.npz", **_probe(model, options))
        if options.gallery is not None:
            options.gallery.save(place / "gallery.npz")
        (place / "job.json").write_text(
            json.dumps({"options": options.as_json(), "modules": modules, "draft": str(draft)})
        )
        _run(place)


def _run(place: Path) -> None:
    done = run_module(
        "keras_metric.export.saved_models.other_backends", str(place), KERAS_BACKEND="tensorflow"
    )
    if done.returncode:
        raise RuntimeError(
            "The model could not be exported on the TensorFlow backend. Expected: a model that "
            f"Keras opens and runs there. Received: {last_words(done)}"
        )


def _modules(model: keras.Model) -> list[str]:
    """The modules that the other process must import to know the model's classes."""
    layers = [model, *model._flatten_layers(include_self=False)]
    names = {type(layer).__module__ for layer in layers}
    unknown = sorted(name for name in names if name == "__main__")
    if unknown:
        classes = sorted(type(x).__name__ for x in layers if type(x).__module__ == "__main__")
        raise ValueError(
            "Layers of this program cannot be loaded on the TensorFlow backend. Expected: classes "
            f"defined in a module of their own. Received: {', '.join(classes)} in __main__."
        )
    return sorted(name for name in names if not name.startswith(("keras.", "keras_metric.")))


def _probe(model: keras.Model, options: Options) -> dict[str, np.ndarray]:
    """Inputs for each branch, and the answers of this backend."""
    parts = take_apart(model, options)
    arrays = {}
    for place, branch in enumerate(parts.branches):
        given = []
        for name, one in branch.inputs:
            shape = (2, *(64 if length is None else length for length in one.shape))
            given.append(np.random.default_rng(place).uniform(0, 1, shape).astype(one.dtype))
            arrays[f"{place}/given/{name}"] = given[-1]
        for name, answer in branch(*map(keras.ops.convert_to_tensor, given)).items():
            answer = keras.ops.cast(answer, "float32")
            arrays[f"{place}/{name}"] = keras.ops.convert_to_numpy(answer)
    return arrays


def _compare_backends(model: keras.Model, place: Path, options: Options) -> None:
    from keras_metric.export.saved_models.graph import compare

    given = np.load(place / "probe.npz")
    received = {}
    parts = take_apart(model, options)
    for number, branch in enumerate(parts.branches):
        answers = branch(*(given[f"{number}/given/{name}"] for name, _ in branch.inputs))
        received |= {f"{number}/{name}": np.asarray(a, "f4") for name, a in answers.items()}
    wanted = {name: given[name] for name in received}
    compare("on another backend", received, wanted, tolerance=TOLERANCE)


def main() -> None:
    """The other process: opens what was saved, compares the backends, writes the SavedModel."""
    from keras_metric.export.saved_models.graph import write

    place = Path(sys.argv[1])
    job = json.loads((place / "job.json").read_text())
    for module in ["keras_metric.models", *job["modules"]]:
        importlib.import_module(module)
    kept = place / "gallery.npz"
    gallery = Gallery.load(kept) if kept.exists() else None
    options = Options.from_json(job["options"], gallery)
    model = keras.saving.load_model(place / "model.keras", compile=False)
    _compare_backends(model, place, options)
    write(model, Path(job["draft"]), options)


if __name__ == "__main__":
    main()

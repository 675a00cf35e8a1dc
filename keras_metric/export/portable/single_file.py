"""One signature of a SavedModel as a single file for another runtime, checked before it is kept."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_metric.export.saved_models.versions import latest, metadata_file, read_metadata

_SIZE = 64  # of the images that are asked where the model takes any size


@dataclass(frozen=True)
class Portable:
    """A written file: its contents, and the difference of its outputs from the SavedModel's.

    `difference` is the largest one, relative to the largest answer above 1.
    """

    path: Path
    signature: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    bytes: int
    difference: float

    def __str__(self):
        return (
            f"{self.path}: {self.signature} ({', '.join(self.inputs)}) -> "
            f"({', '.join(self.outputs)}), {self.bytes:,} bytes, answers differ by at most "
            f"{self.difference:.2g}"
        )


@dataclass(frozen=True)
class Source:
    """A signature of a SavedModel, ready to be written in another form."""

    folder: Path
    signature: str
    specs: dict  # input name -> tf.TensorSpec
    outputs: tuple[str, ...]
    function: Callable  # named tensors -> named tensors
    samples: dict[str, np.ndarray]
    loaded: object  # owns the variables of `function`


Runner = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


def open_source(saved: str | Path, signature: str, samples) -> Source:
    """The signature, with images to try it on: `samples`, or noise of the model's pixel range.

    Raises:
        FileNotFoundError: no SavedModel there.
        ValueError: no such signature, one that takes or gives text, or samples that do not fit.
    """
    import tensorflow as tf

    folder = latest(saved)
    loaded = tf.saved_model.load(str(folder))
    found = loaded.signatures
    numeric = [name for name, function in found.items() if not _holds_text(function)]
    if signature not in numeric:
        raise ValueError(
            "No such signature to write for another runtime. Expected: one that takes and gives "
            f"numbers: {', '.join(sorted(numeric)) or 'there is none'}. Received: {signature!r}"
            + (", which has text or files." if signature in found else ".")
        )
    function = found[signature]
    specs = function.structured_input_signature[1]
    drawn = _noise(folder, specs) if samples is None else _checked(samples, specs)
    outputs = tuple(function.structured_outputs)
    return Source(folder, signature, specs, outputs, function, drawn, loaded)


def keep(
    source: Source, path: str | Path, content: bytes, runner: Runner, limit: float
) -> Portable:
    """Compare the outputs of `runner` with the SavedModel's, then move the file to `path`.

    Raises:
        FileExistsError: `path` exists.
        RuntimeError: an output differs by more than `limit`.
    """
    from keras_metric.export.saved_models.graph import difference

    path = free(path)
    import tensorflow as tf

    wanted = source.function(**{k: tf.constant(v) for k, v in source.samples.items()})
    answered, largest = runner(source.samples), 0.0
    for name, values in wanted.items():
        differs = difference(np.asarray(answered[name]), np.asarray(values))
        if not differs <= limit:
            raise RuntimeError(
                f"Output {name!r} of {path.name} is not what the SavedModel answers. Expected: a "
                f"difference of at most {limit:g}. Received: {differs:.3g}. Nothing was written."
            )
        largest = max(largest, differs)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    names = tuple(source.specs), source.outputs
    return Portable(path, source.signature, *names, len(content), largest)


def free(path: str | Path) -> Path:
    """`path`, where nothing is.

    Raises:
        FileExistsError: something is.
    """
    if Path(path).exists():
        raise FileExistsError(
            f"Models are never overwritten. Expected: a path where nothing is. Received: {path}."
        )
    return Path(path)


def _holds_text(function) -> bool:
    import tensorflow as tf

    ends = [*function.structured_input_signature[1].values(), *function.structured_outputs.values()]
    return any(end.dtype == tf.string for end in ends)


def _noise(folder: Path, specs: dict) -> dict[str, np.ndarray]:
    known = read_metadata(folder) if metadata_file(folder).is_file() else {}
    low, high = sorted(known.get("pixel_range", (0.0, 1.0)))
    draw = np.random.default_rng(0)
    shapes = {name: [4, *(n or _SIZE for n in spec.shape[1:])] for name, spec in specs.items()}
    return {
        name: draw.uniform(low, high, shape).astype(specs[name].dtype.as_numpy_dtype)
        for name, shape in shapes.items()
    }


def _checked(samples, specs: dict) -> dict[str, np.ndarray]:
    """Samples as named arrays; one array will do where there is one input."""
    named = samples if isinstance(samples, Mapping) else {next(iter(specs)): samples}
    if set(named) != set(specs):
        raise ValueError(
            f"Samples do not fit the signature. Expected: arrays for: {', '.join(specs)}. "
            f"Received: {', '.join(map(str, named))}."
        )
    arrays = {name: np.asarray(v, specs[name].dtype.as_numpy_dtype) for name, v in named.items()}
    for name, array in arrays.items():
        if not len(array) or not specs[name].shape.is_compatible_with(array.shape):
            raise ValueError(
                f"Samples do not fit the input {name!r}. Expected: at least one image of "
                f"{tuple(specs[name].shape[1:])}. Received: shape {array.shape}."
            )
    return arrays

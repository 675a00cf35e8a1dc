"""Writes the SavedModel: traces each branch once, saves the signatures, and checks what was saved.

The check loads the folder as a server does and compares its answers with those of the Keras model.
"""

import functools
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

from keras_metric.export.runtime.wire import field
from keras_metric.export.saved_models.gallery import Gallery, GalleryVariables
from keras_metric.export.saved_models.model_parts import Branch, ModelParts, take_apart
from keras_metric.export.saved_models.options import Options
from keras_metric.export.saved_models.signatures import Endpoint, all_endpoints, specs_of
from keras_metric.export.saved_models.versions import metadata_file
from keras_metric.preprocessing import COLORS
from keras_metric.version import VERSION

WARMUP_FILE = "tf_serving_warmup_requests"
TOLERANCE = 1e-5
_BATCHES = (3, 0)
_SIZES = (32, 64, 128, 256, 512)  # tried in this order where the model takes any size


def write(model: keras.Model, draft: Path, options: Options) -> None:
    """Writes `model` as a SavedModel into the folder `draft` and compares the two."""
    parts = take_apart(model, options)
    _check_preprocessing(parts, options)
    with tempfile.TemporaryDirectory() as folder:
        labels = _label_table(parts.labels, Path(folder) / "labels.txt")
        gallery = _variables_of(options.gallery, Path(folder) / "gallery.txt")
        tables = (options, labels, gallery)
        served = _chosen(all_endpoints(parts, functools.cache(_traced), *tables), options)
        _save(served, draft, [labels, gallery and gallery.labels])
        by_keras = all_endpoints(parts, lambda branch: branch, *tables)
        expected = {name: by_keras[name] for name in served}
        probes = check(draft, expected, pixel_range=options.pixel_range)
    _write_warmup(draft, probes)
    _write_metadata(draft, _facts(parts, served, options))


def _check_preprocessing(parts: ModelParts, options: Options) -> None:
    """That of the first input has to fit; others take the same steps at their own size."""
    shape = parts.branches[0].shape
    if options.preprocessing is not None and len(shape) == 3:
        options.preprocessing.fitted(shape)


def _chosen(available: dict[str, Endpoint], options: Options) -> dict[str, Endpoint]:
    wanted = options.signatures or tuple(available)
    unknown = [name for name in wanted if name not in available]
    if unknown:
        raise ValueError(
            f"This model has no such signature. Expected: some of {', '.join(available)}. "
            f"Received: {', '.join(unknown)}."
        )
    return {name: available[name] for name in wanted}


def _traced(branch: Branch) -> tf.types.experimental.PolymorphicFunction:
    return tf.function(branch, list(specs_of(branch).values()), autograph=False)


def _variables_of(gallery: Gallery | None, file: Path) -> GalleryVariables | None:
    if gallery is None:
        return None
    return GalleryVariables.of(gallery, _label_table(gallery.names or None, file))


def _label_table(labels, file: Path) -> tf.lookup.StaticHashTable | None:
    """Class number -> label, from a file that becomes an asset of the SavedModel."""
    if labels is None:
        return None
    file.write_text("\n".join(labels) + "\n", encoding="utf-8")
    initializer = tf.lookup.TextFileInitializer(
        str(file),
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
    )
    return tf.lookup.StaticHashTable(initializer, default_value="")


def _save(served: dict[str, Endpoint], draft: Path, tables: list) -> None:
    """One set of weights, whatever the number of signatures: each variable is tracked once."""
    functions = {
        name: tf.function(endpoint.answer, autograph=False).get_concrete_function(
            **{key: tf.TensorSpec(s.shape, s.dtype, key) for key, s in endpoint.inputs.items()}
        )
        for name, endpoint in served.items()
    }
    module = tf.Module()
    used = {v.ref(): v for function in functions.values() for v in function.graph.variables}
    module.weights, module.tables = list(used.values()), tables
    with quiet_tensorflow():
        tf.saved_model.save(module, str(draft), signatures=functions)


def check(
    folder: Path, expected: dict[str, Endpoint], *, pixel_range: tuple[float, float]
) -> dict[str, dict[str, np.ndarray]]:
    """Compares every signature in `folder` with its endpoint run by Keras; returns its inputs.

    Raises:
        RuntimeError: an answer differs by more than 1e-5, relative to the largest answer above 1.
    """
    probes = {}
    with session(folder) as served:
        for name, endpoint in expected.items():
            for count in _BATCHES:
                inputs, wanted = _probed(endpoint, count, pixel_range)
                compare(name, served(name, inputs), wanted)
                probes.setdefault(name, inputs)
    return probes


@contextmanager
def session(folder: str | Path) -> Iterator[Callable]:
    """A TensorFlow session with the tag `serve`: `(signature, named arrays) -> named arrays`."""
    with tf.Graph().as_default(), quiet_tensorflow():
        opened = tf.compat.v1.Session()
        loader = tf.compat.v1.saved_model.loader
        signatures = loader.load(opened, ["serve"], str(folder)).signature_def

    def answer(signature: str, inputs: dict) -> dict[str, np.ndarray]:
        named = signatures[signature]
        feeds = {named.inputs[key].name: value for key, value in inputs.items()}
        return opened.run({key: info.name for key, info in named.outputs.items()}, feeds)

    try:  # not `with opened`: that would put Keras's own call into the session's graph
        yield answer
    finally:
        opened.close()


def compare(name: str, served: dict, wanted: dict, *, tolerance: float = TOLERANCE) -> None:
    """Raises a RuntimeError that says which output of signature `name` differs, and by how much."""
    if set(served) != set(wanted):
        raise RuntimeError(
            f"Signature {name!r} has other outputs than the Keras model. "
            f"Expected: {sorted(wanted)}. Received: {sorted(served)}."
        )
    for output, values in wanted.items():
        values, answered = np.asarray(values), np.asarray(served[output])
        differs = difference(answered, values)
        if not differs <= tolerance:
            raise RuntimeError(
                f"Output {output!r} of signature {name!r} is not what the Keras model answers. "
                f"Expected: shape {values.shape}, a difference of at most {tolerance:g}. "
                f"Received: shape {answered.shape}, a difference of {differs:.3g}."
            )


def difference(answered: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, relative to the largest value above 1; NaN where a NaN is met."""
    if answered.shape != wanted.shape:
        return np.inf
    if wanted.dtype.kind != "f" or not wanted.size:
        return 0.0  # names and numbers of near ties may change places; their scores may not
    return float(np.max(np.abs(answered - wanted)) / max(1.0, float(np.max(np.abs(wanted)))))


def _probed(endpoint: Endpoint, count: int, pixel_range) -> tuple[dict, dict]:
    """Random inputs for a batch of `count`, and what Keras answers to them."""
    for size in _SIZES:
        inputs = {
            name: _files(count)
            if spec.dtype == tf.string
            else _numbers(spec, count, size, pixel_range)
            for name, spec in endpoint.inputs.items()
        }
        try:
            return inputs, endpoint.answer(**{k: tf.constant(v) for k, v in inputs.items()})
        except (ValueError, tf.errors.InvalidArgumentError):
            if size == _SIZES[-1] or not any(None in s.shape[1:] for s in endpoint.inputs.values()):
                raise
    raise AssertionError("unreachable")


def _numbers(spec: tf.TensorSpec, count: int, size: int, pixel_range) -> np.ndarray:
    """Pixels for images; for other inputs small numbers, which any vocabulary has."""
    shape = [count, *(size if length is None else length for length in spec.shape[1:])]
    draw, image = np.random.default_rng(count), len(shape) == 4
    if spec.dtype.is_integer or spec.dtype.is_bool:
        return draw.integers(0, 256 if image else 2, shape).astype(spec.dtype.as_numpy_dtype)
    ends = sorted(pixel_range) if image else (-1, 1)
    return draw.uniform(*ends, shape).astype(spec.dtype.as_numpy_dtype)


def _files(count: int) -> np.ndarray:
    """PNG files, the second one broken off."""
    draw = np.random.default_rng(count)
    files = [
        tf.io.encode_png(draw.integers(0, 256, (40, 30, 3)).astype(np.uint8)).numpy()
        for _ in range(count)
    ]
    return np.array([data[:99] if place == 1 else data for place, data in enumerate(files)], object)


@contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Errors only, from TensorFlow's logger, inside the block."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def _write_warmup(draft: Path, probes: dict[str, dict[str, np.ndarray]]) -> None:
    """One request for each signature, the first row of each of its probes.

    A TensorFlow server replays them when it loads the version (and refuses the version if one
    fails): otherwise the first client pays for memory and for the choice of algorithms.
    """
    folder = draft / "assets.extra"
    folder.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / WARMUP_FILE)) as file:
        for signature, inputs in probes.items():
            file.write(_prediction_log(signature, {k: v[:1] for k, v in inputs.items()}))


def _prediction_log(signature: str, inputs: dict[str, np.ndarray]) -> bytes:
    """PredictionLog(predict_log=PredictLog(request=PredictRequest(...))), encoded by hand."""
    model = field(1, "model") + field(3, signature)
    tensors = (
        field(2, field(1, name) + field(2, _tensor(array))) for name, array in inputs.items()
    )
    return field(6, field(1, field(1, model) + b"".join(tensors)))


def _tensor(array: np.ndarray) -> bytes:
    """Numbers as one value for the whole array, which keeps the file small; texts as they are."""
    if array.dtype == object:
        return tf.make_tensor_proto(array, tf.string).SerializeToString(deterministic=True)
    proto = TensorProto(
        dtype=tf.as_dtype(array.dtype).as_datatype_enum,
        tensor_shape=tf.TensorShape(array.shape).as_proto(),
    )
    kind = array.dtype.kind
    values = proto.int_val if kind in "iu" else proto.half_val
    values = {"float32": proto.float_val, "float64": proto.double_val}.get(array.dtype.name, values)
    values.append(0)
    return proto.SerializeToString(deterministic=True)


def _write_metadata(draft: Path, facts: dict) -> None:
    file = metadata_file(draft)
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _facts(parts: ModelParts, served: dict[str, Endpoint], options: Options) -> dict:
    """What `read_metadata` gives back."""
    from keras_metric.retrieval.weights import fingerprint_of

    return {
        "kind": parts.kind,
        "fingerprint": fingerprint_of(branch.model for branch in parts.branches),
        "networks": [branch.model.name for branch in parts.branches],
        "image_shapes": [branch.shape for branch in parts.branches],
        "distance": getattr(parts.distance, "__name__", parts.distance),
        "threshold": options.threshold,
        "labels": parts.labels,
        "gallery": options.gallery and options.gallery.facts(),
        "pixel_range": options.pixel_range,
        "preprocessing": _preprocessing(parts, options),
        "signatures": {name: sorted(endpoint.inputs) for name, endpoint in served.items()},
        "versions": {"keras_metric": VERSION, **_installed("keras", "tensorflow", "numpy")},
        "about": options.metadata or {},
    }


def _preprocessing(parts: ModelParts, options: Options) -> dict | None:
    """Of the first network, as JSON; None where it takes no pictures."""
    shape = parts.branches[0].shape
    if len(shape) != 3 or shape[-1] not in COLORS.values():
        return None
    return options.preprocessing_of(shape).as_json()


def _installed(*names: str) -> dict[str, str]:
    found = {}
    for name in names:
        for distribution in (name, f"{name}-cpu"):
            try:
                found[name] = version(distribution)
            except PackageNotFoundError:
                continue
    return found

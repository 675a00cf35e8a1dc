"""Models from files, old ones included: read, repaired in a copy, or refused with what to do.

    file                                         what happens
    .keras and .h5 of Keras 3                    loaded
    .h5 of Keras 1 and 2                         configuration repaired, weights rearranged, loaded
    .keras of Keras 2, SavedModel with layers    through tf_keras, the extra "keras-metric[legacy]"
    SavedModel of model.export, weights, JSON    refused: the layers or the weights are not in it

The file itself is never written to. With `safe_mode` no Python code of the file is run.
"""

import copy
import json
import re
import tempfile
import zipfile
from pathlib import Path

import keras

from keras_metric.convert.errors import ConversionError
from keras_metric.convert.loading.dialect import Dialect
from keras_metric.convert.loading.repairs import repaired
from keras_metric.preprocessing import attach, in_file

_RENEW = "the original model, saved again with model.save('model.keras')"
_NOT_MODELS = {
    ".json": "a configuration without weights",
    ".yaml": "a configuration without weights",
    ".pb": "a frozen graph without layers",
    ".tflite": "a compiled graph without layers",
    ".onnx": "a compiled graph without layers",
    ".ckpt": "weights without the layers they belong to",
    ".index": "weights without the layers they belong to",
    ".npz": "weights without the layers they belong to",
}


def load(
    path: str | Path, *, safe_mode: bool = True, custom_objects: dict | None = None
) -> keras.Model:
    """The model in a file of Keras 3 or Keras 2, uncompiled.

    Args:
        path: `.keras`, `.h5` or a SavedModel directory.
        safe_mode: True refuses a file with Lambda layers, which are Python code. Set it to False
            only for files of your own.
        custom_objects: classes that the file names, by name.

    Raises:
        ConversionError: not a model that can be read, with what to do instead.
        ImportError: the file needs tf_keras, which is not installed.
    """
    path = Path(path)
    if not path.exists():
        raise ConversionError(f"No model there. Expected: a file or directory. Received: {path}.")
    if path.is_dir():
        return _directory(path, safe_mode, custom_objects)
    if zipfile.is_zipfile(path):
        model, made = _archive(path, safe_mode, custom_objects), in_file(path)
        return model if made is None else attach(model, made)
    if _is_hdf5(path):
        return _hdf5(path, safe_mode, custom_objects)
    what = _NOT_MODELS.get(path.suffix.lower(), "no format of Keras")
    raise ConversionError(f"{path.name} is {what}. Expected: {_RENEW}. Received: {path.suffix!r}.")


def _directory(path: Path, safe_mode: bool, custom_objects) -> keras.Model:
    if (path / "keras_metadata.pb").exists():
        return _through_tf_keras(path, safe_mode, custom_objects)
    if (path / "saved_model.pb").exists():
        raise ConversionError(
            f"{path.name} is a SavedModel made by model.export() or tf.saved_model.save(): it "
            f"holds a compiled graph, no layers. Expected: {_RENEW}. Received: saved_model.pb "
            "without keras_metadata.pb."
        )
    raise ConversionError(
        f"{path.name} is not a SavedModel. Expected: saved_model.pb in it. "
        f"Received: {sorted(p.name for p in path.iterdir())[:5]}."
    )


def _archive(path: Path, safe_mode: bool, custom_objects) -> keras.Model:
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        if not {"metadata.json", "config.json"} <= names:
            raise ConversionError(
                f"{path.name} is not a Keras model. Expected: config.json and metadata.json "
                f"inside. Received: {sorted(names)[:5]}."
            )
        version = json.loads(archive.read("metadata.json")).get("keras_version", "")
        text = archive.read("config.json").decode()
    config = json.loads(text)
    _check_code(path, config, safe_mode)
    if version.startswith("2."):
        return _through_tf_keras(path, safe_mode, custom_objects)
    return _keras(path, path.name, safe_mode, custom_objects)


def _hdf5(path: Path, safe_mode: bool, custom_objects) -> keras.Model:
    import h5py

    with h5py.File(path, "r") as file:
        text = _text(file.attrs.get("model_config"))
        dialect = _dialect(path.name, file, custom_objects)
    if text is None:
        raise ConversionError(
            f"{path.name} holds weights only. Expected: {_RENEW}; or build the model, then "
            "model.load_weights(). Received: an .h5 file without model_config."
        )
    config = json.loads(text)
    _check_code(path, config, safe_mode)
    if dialect.version.startswith("3"):
        return _keras(path, path.name, safe_mode, custom_objects)
    return _old_hdf5(path, config, dialect, safe_mode)


def _old_hdf5(path: Path, config: dict, dialect: Dialect, safe_mode: bool) -> keras.Model:
    import h5py

    from keras_metric.convert.loading.old_weights import assign

    config = repaired(config, dialect)
    try:
        with keras.saving.custom_object_scope(dialect.own):
            model = keras.saving.deserialize_keras_object(
                copy.deepcopy(config), custom_objects=dialect.own, safe_mode=safe_mode
            )
    except Exception as error:  # Keras reports a bad configuration by almost any class
        raise _unreadable(path.name, error) from error
    with h5py.File(path, "r") as file:
        assign(model, config, file["model_weights"], dialect)
    return model


def _dialect(name: str, file, custom_objects: dict | None) -> Dialect:
    """Keras 1 does not write its backend: Theano's names of weights lack ":0"."""
    from keras_metric.convert.loading.old_weights import attribute

    group = file.get("model_weights", file)
    version, backend = (
        _text(group.attrs.get(key, file.attrs.get(key))) for key in ("keras_version", "backend")
    )
    layers = attribute(group, "layer_names")
    weights = {layer: attribute(group[layer], "weight_names") for layer in layers}
    if backend is None:
        written = [w for names in weights.values() for w in names]
        backend = "theano" if written and not any(":" in w for w in written) else "tensorflow"
    orderings = set(
        re.findall(r'"dim_ordering": "(\w+)"', _text(file.attrs.get("model_config", "")))
    )
    return Dialect(
        name,
        version or "1",
        backend,
        dict(custom_objects or {}),
        "channels_first" if orderings == {"th"} else "channels_last",
        {layer: group[layer][names[0]].shape for layer, names in weights.items() if names},
    )


def _text(value) -> str | None:
    return value.decode() if isinstance(value, bytes) else value


def _keras(path: Path, name: str, safe_mode: bool, custom_objects) -> keras.Model:
    try:
        return keras.saving.load_model(
            path, custom_objects=custom_objects, compile=False, safe_mode=safe_mode
        )
    except Exception as error:  # Keras reports a bad file by almost any class
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> ConversionError:
    hint = (
        "custom_objects={...} for classes of your own; a model with raw operations such as "
        f"ops.relu(x) or x + y saved as .keras, for an .h5 cannot hold them; else {_RENEW}"
    )
    return ConversionError(f"Keras cannot read {name}. Expected: {hint}. Received: {_cause(error)}")


def _cause(error: Exception) -> str:
    """What Keras says, whole; of an error around another one, the inner."""
    return str(error).rpartition("Exception encountered: ")[2].strip()


def _through_tf_keras(path: Path, safe_mode: bool, custom_objects) -> keras.Model:
    """Load with Keras 2, save as .h5, load that."""
    try:
        import tf_keras
    except ImportError as error:
        raise ImportError(
            f"{path.name} was written by Keras 2 in a format that only tf_keras reads. "
            'Expected: tf_keras: pip install "keras-metric[legacy]". Received: no such module.'
        ) from error
    if path.is_dir():
        _check_metadata(path, safe_mode)
    try:
        mode = {} if path.is_dir() else {"safe_mode": safe_mode}
        model = tf_keras.models.load_model(path, custom_objects, compile=False, **mode)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.h5"
            _save_quietly(model, file)
            return _hdf5(file, safe_mode, custom_objects)
    except ConversionError:
        raise
    except Exception as error:  # as for Keras
        raise ConversionError(
            f"tf_keras cannot turn {path.name} into layers. Expected: a Sequential or functional "
            f"model, or custom_objects={{...}}. Received: {_cause(error)}"
        ) from error


def _save_quietly(model, path: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf_keras warns about the very format we need here
        model.save(path, save_format="h5")


def _check_metadata(path: Path, safe_mode: bool) -> None:
    from tf_keras.protobuf import saved_metadata_pb2

    metadata = saved_metadata_pb2.SavedMetadata()
    metadata.ParseFromString((path / "keras_metadata.pb").read_bytes())
    for node in metadata.nodes:
        _check_code(path, json.loads(node.metadata or "{}"), safe_mode)


def _check_code(path: Path, config, safe_mode: bool) -> None:
    if safe_mode and _has_lambda(config):
        raise ConversionError(
            f"{path.name} has a Lambda layer, which is Python code in the file. Expected: a file "
            "without code, or safe_mode=False for a file that you trust. Received: safe_mode=True."
        )


def _has_lambda(config) -> bool:
    if isinstance(config, dict):
        if config.get("class_name") in ("Lambda", "__lambda__"):
            return True
        return any(map(_has_lambda, config.values()))
    return isinstance(config, list) and any(map(_has_lambda, config))


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"

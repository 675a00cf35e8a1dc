"""The configuration of an old model as Keras 3 reads it: layers, their calls, inputs and outputs.

Keras 1 and 2.0 to 2.2      a Sequential is a list of layers
Keras 1 and 2               a nested model's calls are counted from 1; calls are lists
Keras 2                     the first layer of a Sequential carries the input's shape
Keras 2                     names may hold "/"
"""

from keras_metric.convert.loading.dialect import Dialect

_MODELS = ("Functional", "Sequential", "Model", "Container")
_RECURRENT = ("LSTM", "GRU", "RNN", "Bidirectional", "LSTM1D", "LSTM2D", "LSTM3D")
_CONSTANT = "_CONSTANT_VALUE"


def repaired(config: dict, dialect: Dialect) -> dict:
    """A copy of a model's configuration for `keras.saving.deserialize_keras_object`.

    Raises:
        ConversionError: a layer, or an argument of one, that Keras 3 has no equivalent for.
    """
    return _entry(config, dialect)


def is_model(entry: dict) -> bool:
    """Whether an entry is a model with layers of its own."""
    return entry.get("class_name") in _MODELS or isinstance(_layers(entry), list)


def _layers(entry: dict):
    config = entry.get("config")
    return config.get("layers") if isinstance(config, dict) else None


def _entry(entry: dict, dialect: Dialect) -> dict:
    if not is_model(entry):
        return dialect.layer(_renamed(entry))
    config, kind = entry["config"], entry["class_name"]
    if isinstance(config, list):  # a Sequential of Keras 1, or of Keras 2 before 2.2.3
        config = {"layers": config}
    config = {"name": entry.get("name") or config.get("name") or kind.lower(), **config}
    config["name"] = _plain(config["name"])
    kept = ("name", "trainable", "layers", "input_layers", "output_layers", "build_input_shape")
    model = {k: config[k] for k in kept if k in config}
    model = _sequential(model, dialect) if kind == "Sequential" else _functional(model, dialect)
    if kind in _MODELS:
        kind = "Sequential" if kind == "Sequential" else "Model"
    found = {"module": "keras", "class_name": kind, "registered_name": kind, "config": model}
    return found | ({"name": model["name"]} if "name" in entry else {})


def _sequential(config: dict, dialect: Dialect) -> dict:
    entries = [_entry(e, dialect) for e in _with_input(config["layers"])]
    if entries and entries[0]["class_name"] == "InputLayer":
        config.pop("build_input_shape", None)
    return config | {"layers": entries}


def _functional(config: dict, dialect: Dialect) -> dict:
    first = _first_calls(config, {_name(e) for e in config["layers"] if is_model(e)})
    config["layers"] = [
        _entry(e, dialect)
        | {
            "name": _plain(_name(e)),
            "inbound_nodes": [
                _call(node, first, e["class_name"]) for node in e.get("inbound_nodes", [])
            ],
        }
        for e in config["layers"]
    ]
    config.pop("build_input_shape", None)
    for ends in ("input_layers", "output_layers"):
        calls = _ends(config[ends], first)
        one = len(calls) == 1 and isinstance(calls, list) and isinstance(calls[0], list)
        config[ends] = calls[0] if one else calls
    return config


def _plain(name: str) -> str:
    return name.replace("/", "_")


def _renamed(entry: dict) -> dict:
    config = entry.get("config")
    if isinstance(config, dict) and isinstance(config.get("name"), str):
        entry = entry | {"config": config | {"name": _plain(config["name"])}}
    return entry


def _with_input(entries: list[dict]) -> list[dict]:
    """A Sequential whose first layer carries the input's shape gets an input layer."""
    first = entries[0]["config"] if entries else {}
    shape = first.get("batch_input_shape") if isinstance(first, dict) else None
    if shape is None or entries[0]["class_name"] == "InputLayer":
        return entries
    kind = first.get("input_dtype") or first.get("dtype")
    config = {
        "batch_input_shape": shape,
        "dtype": kind if isinstance(kind, str) else "float32",
        "name": f"{first['name']}_input",
    }
    return [{"class_name": "InputLayer", "config": config}, *entries]


def _name(entry: dict) -> str:
    return entry.get("name") or entry["config"]["name"]


def _is_reference(x) -> bool:
    return isinstance(x, list) and len(x) >= 3 and isinstance(x[0], str) and isinstance(x[1], int)


def _first_calls(config: dict, nested: set[str]) -> dict[str, int]:
    """The lowest number under which each nested model is called in this model."""
    found: dict[str, int] = {}

    def visit(x) -> None:
        if _is_reference(x) and x[0] in nested:
            found[x[0]] = min(x[1], found.get(x[0], x[1]))
        for part in x.values() if isinstance(x, dict) else x if isinstance(x, list) else ():
            visit(part)

    visit([e.get("inbound_nodes", []) for e in config["layers"]])
    visit(config.get("output_layers", []))
    return found


def _call(node, first: dict[str, int], kind: str) -> dict:
    """One call of a layer: `[[layer, call, tensor, keywords], ...]` as arguments and keywords.

    The first states of a recurrent layer stand behind its input.
    """
    keywords: dict = {}

    def walk(x):
        if _is_reference(x):
            if x[0] == _CONSTANT:
                return x[2]
            for extra in x[3:]:
                keywords.update(walk(extra))
            place = [_plain(x[0]), x[1] - first.get(x[0], 0), x[2]]
            tensor = {"shape": [1], "dtype": "float32", "keras_history": place}
            return {"class_name": "__keras_tensor__", "config": tensor}
        if isinstance(x, dict):
            return {k: walk(v) for k, v in x.items()}
        return [walk(part) for part in x] if isinstance(x, list) else x

    found = walk(node)
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    elif kind.endswith(_RECURRENT) and isinstance(found, list):
        found, keywords["initial_state"] = found[0], found[1:]
    return {"args": [found], "kwargs": keywords}


def _ends(x, first: dict[str, int]):
    """Inputs or outputs of a model, counted from 0 for nested models."""
    if _is_reference(x):
        return [_plain(x[0]), x[1] - first.get(x[0], 0), *x[2:]]
    if isinstance(x, dict):
        return {k: _ends(v, first) for k, v in x.items()}
    return [_ends(part, first) for part in x]

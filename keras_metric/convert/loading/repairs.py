"""The configuration of a Keras 2 model in words that Keras 3 understands."""

_SEPARABLE = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")
_UNKNOWN = {
    "DepthwiseConv2D": ("groups",),
    "Conv2DTranspose": ("groups",),
    "Conv3DTranspose": ("groups",),
    "Conv1DTranspose": ("groups",),
    "SeparableConv1D": ("groups", *_SEPARABLE),
    "SeparableConv2D": ("groups", *_SEPARABLE),
    "DepthwiseConv1D": ("groups",),
}
_MODELS = ("Functional", "Sequential", "Model")


def repaired(config: dict) -> dict:
    """A copy of a model's configuration without what Keras 3 rejects.

    - arguments that Keras 2 wrote for depthwise, separable and transposed convolutions;
    - the calls of a nested model, which Keras 2 counts from 1;
    - `input_layers` and `output_layers` of one element, which make a list of one tensor;
    - "/" in the names of layers;
    - the shape of the images as an argument of a Sequential's first layer.

    Weights are found by their order in the file, so that names may change.
    """
    return _layer(config)


def _layer(entry: dict) -> dict:
    entry, kind = dict(entry), entry.get("class_name")
    inner = entry.get("config")
    if isinstance(inner, dict):
        gone = () if kind == "InputLayer" else ("batch_input_shape", *_UNKNOWN.get(kind, ()))
        inner = {k: v for k, v in inner.items() if k not in gone}
        if "name" in inner:
            inner["name"] = inner["name"].replace("/", "_")
        if isinstance(inner.get("layer"), dict):
            inner["layer"] = _layer(inner["layer"])
        if kind in _MODELS and "layers" in inner:
            inner = _model(inner)
        entry["config"] = inner
    if isinstance(entry.get("name"), str):
        entry["name"] = entry["name"].replace("/", "_")
    return entry


def _model(config: dict) -> dict:
    nested = {_name(e) for e in config["layers"] if e.get("class_name") in _MODELS}
    first = _first_calls(config, nested)
    config = {**config, "layers": [_layer(e) for e in _with_input(config["layers"])]}
    for entry in config["layers"]:
        if "inbound_nodes" in entry:
            entry["inbound_nodes"] = _references(entry["inbound_nodes"], first)
    for ends in ("input_layers", "output_layers"):
        if ends in config:
            calls = _references(config[ends], first)
            one = len(calls) == 1 and isinstance(calls[0], list)
            config[ends] = calls[0] if one else calls
    return config


def _with_input(entries: list[dict]) -> list[dict]:
    """A Sequential whose first layer carries the shape of the images gets an input layer."""
    first = entries[0]["config"] if entries else {}
    shape = first.get("batch_input_shape") if isinstance(first, dict) else None
    if shape is None or entries[0]["class_name"] == "InputLayer" or "inbound_nodes" in entries[0]:
        return entries
    config = {
        "batch_input_shape": shape,
        "dtype": first.get("dtype", "float32"),
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


def _references(x, first: dict[str, int]):
    """Every `[layer, call, tensor, ...]` renamed, and counted from 0 for nested models."""
    if _is_reference(x):
        rest = [_references(part, first) for part in x[2:]]
        return [x[0].replace("/", "_"), x[1] - first.get(x[0], 0), *rest]
    if isinstance(x, list):
        return [_references(part, first) for part in x]
    if isinstance(x, dict):
        return {k: _references(v, first) for k, v in x.items()}
    return x

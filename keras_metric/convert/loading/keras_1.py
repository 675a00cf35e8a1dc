"""Names of Keras 1 (0.3 to 1.2) in those of Keras 2."""

_CLASSES = {
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "AtrousConv1D": "Conv1D",
    "AtrousConv2D": "Conv2D",
    "Deconvolution2D": "Conv2DTranspose",
    "SeparableConvolution2D": "SeparableConv2D",
    "TimeDistributedDense": "Dense",
}
_ALL = {
    "init": "kernel_initializer",
    "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation",
    "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "b_regularizer": "bias_regularizer",
    "W_constraint": "kernel_constraint",
    "b_constraint": "bias_constraint",
    "bias": "use_bias",
    "nb_filter": "filters",
    "border_mode": "padding",
    "subsample": "strides",
    "subsample_length": "strides",
    "dim_ordering": "data_format",
    "filter_length": "kernel_size",
    "atrous_rate": "dilation_rate",
    "pool_length": "pool_size",
    "stride": "strides",
    "p": "rate",
    "sigma": "stddev",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
    "beta_init": "beta_initializer",
    "gamma_init": "gamma_initializer",
}
_OF_CLASS = {
    "Dense": {"output_dim": "units"},
    "LSTM": {"output_dim": "units"},
    "GRU": {"output_dim": "units"},
    "SimpleRNN": {"output_dim": "units"},
    "Embedding": {
        "init": "embeddings_initializer",
        "W_regularizer": "embeddings_regularizer",
        "W_constraint": "embeddings_constraint",
    },
    "PReLU": {"init": "alpha_initializer"},
    "UpSampling1D": {"length": "size"},
}
_GONE = ("consume_less", "input_dim", "input_length", "input_dtype", "batch_input_dtype")
_FORMATS = {"tf": "channels_last", "th": "channels_first"}
_MERGES = {
    "sum": "Add",
    "mul": "Multiply",
    "concat": "Concatenate",
    "ave": "Average",
    "max": "Maximum",
    "dot": "Dot",
}
_INITIALIZERS = {
    "zero": "zeros",
    "one": "ones",
    "uniform": "random_uniform",
    "normal": "random_normal",
}


_UNSAID = ("ZeroPadding2D", "ZeroPadding3D", "Cropping2D", "Cropping3D")


def renamed(
    kind: str, config: dict, image_format: str = "channels_last", shape=()
) -> tuple[str, dict]:
    """Class and configuration as Keras 2 calls them.

    Args:
        kind: the class.
        config: its configuration.
        image_format: that of the other layers, for classes whose files do not say it.
        shape: of the layer's first weight; which axes a PReLU shares stands nowhere else.

    Raises:
        NotImplementedError: with why Keras 2 has no equivalent.
    """
    if kind == "Merge":
        return _merged(config)
    kind = _CLASSES.get(kind, kind)
    config = _sizes(kind, dict(config))
    names = _ALL | _OF_CLASS.get(kind, {})
    gone = tuple(k for k in _GONE if not (kind == "Embedding" and k == "input_dim"))
    if kind == "InputLayer":
        config["dtype"] = config.pop("input_dtype", None) or "float32"
    config = {names.get(k, k): v for k, v in config.items() if k not in gone}
    if "data_format" in config:
        config["data_format"] = _FORMATS[config["data_format"]]
    if kind in _UNSAID:
        config.setdefault("data_format", image_format)
    if kind == "PReLU" and 1 in shape:
        config["shared_axes"] = [axis + 1 for axis, size in enumerate(shape) if size == 1]
    if kind == "BatchNormalization":
        _check_mode(config.pop("mode", 0))
    if "forget_bias_init" in config:
        config["unit_forget_bias"] = config.pop("forget_bias_init") == "one"
    if kind == "Embedding":
        config.pop("dropout", None)
    if kind == "Conv2DTranspose":
        config.pop("output_shape", None)
    if kind == "SeparableConv2D":
        config["depthwise_initializer"] = config.get("kernel_initializer", "glorot_uniform")
    return kind, {k: _value(k, v) for k, v in config.items()}


def _sizes(kind: str, config: dict) -> dict:
    """Kernel sizes, which Keras 1 kept in an argument for each axis; padding by side."""
    for names in (("nb_row", "nb_col"), ("kernel_dim1", "kernel_dim2", "kernel_dim3")):
        if names[0] in config:
            config["kernel_size"] = [config.pop(n) for n in names]
    if kind in ("ZeroPadding1D", "ZeroPadding2D") and isinstance(config.get("padding"), dict):
        sides = config["padding"]
        pairs = ("left_pad", "right_pad"), ("top_pad", "bottom_pad")
        rows = [[sides.get(a, 0), sides.get(b, 0)] for a, b in reversed(pairs)]
        config["padding"] = rows if kind == "ZeroPadding2D" else rows[-1]
    return config


def _check_mode(mode: int) -> None:
    if mode != 0:
        what = "the statistics of each sample" if mode == 1 else "those of the batch"
        raise NotImplementedError(f"has mode={mode}, which normalizes with {what}")


def _value(key: str, value):
    """Initializers, regularizers and constraints: by their names in Keras 2."""
    if key.endswith("_initializer") and isinstance(value, str):
        return _INITIALIZERS.get(value, value)
    if isinstance(value, dict) and "name" in value and "class_name" not in value:
        return _named(dict(value))
    return value


def _named(config: dict) -> dict:
    name = config.pop("name")
    if name == "EigenvalueRegularizer":
        raise NotImplementedError("has an EigenvalueRegularizer, which was removed in Keras 2")
    name = {"L1L2Regularizer": "L1L2", "WeightRegularizer": "L1L2"}.get(name, name)
    words = {"m": "max_value", "low": "min_value", "high": "max_value"}
    return {"class_name": name, "config": {words.get(k, k): v for k, v in config.items()}}


def _merged(config: dict) -> tuple[str, dict]:
    mode = config["mode"]
    if "layers" in config or mode not in _MERGES:
        why = "holds models" if "layers" in config else f"has mode={mode!r}"
        raise NotImplementedError(f"{why}, which no layer of Keras 2 does")
    found = {"name": config["name"]}
    if mode == "concat":
        found["axis"] = config["concat_axis"]
    if mode == "dot":
        axes = config["dot_axes"]
        found["axes"] = [a[0] for a in axes] if isinstance(axes, list) else axes
    return _MERGES[mode], found

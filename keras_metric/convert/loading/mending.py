"""Classes and arguments of Keras 2 as Keras 3 calls them: (class, configuration) -> the same."""


def hard_sigmoid(kind: str, config: dict) -> tuple[str, dict]:
    import keras

    from keras_metric.convert.loading.old_layers import keras_2_hard_sigmoid

    old = keras.saving.serialize_keras_object(keras_2_hard_sigmoid)
    for key in ("activation", "recurrent_activation"):
        name = config.get(key)
        if isinstance(name, dict):
            name = name.get("config")
        if name == "hard_sigmoid":
            config[key] = old
    return kind, config


def of_version(version: str, kind: str, config: dict) -> None:
    """Refuse bilinear upsampling from before TensorFlow 2, whose pixels lie elsewhere."""
    number, _, rest = version.partition("-")
    major, minor = (int(part) for part in (*number.split("."), "0")[:2])
    before = (major, minor) < ((2, 3) if rest else (2, 4))  # "-tf": TensorFlow's own Keras
    if kind == "UpSampling2D" and config.get("interpolation") == "bilinear" and before:
        raise NotImplementedError(
            "has interpolation='bilinear', whose pixels lay elsewhere before TensorFlow 2"
        )


def leaky_relu(kind: str, config: dict) -> tuple[str, dict]:
    if kind == "LeakyReLU" and "alpha" in config:
        config["negative_slope"] = config.pop("alpha")
    return kind, config


_CUDNN = {
    "CuDNNLSTM": ("LSTM", {"recurrent_activation": "sigmoid"}),
    "CuDNNGRU": ("GRU", {"recurrent_activation": "sigmoid", "reset_after": True}),
}


def cudnn(kind: str, config: dict) -> tuple[str, dict]:
    kind, extra = _CUDNN.get(kind, (kind, {}))
    return kind, config | extra


_WINDOWS = ("Conv", "MaxPooling", "AveragePooling", "SeparableConv", "DepthwiseConv")


def of_theano(kind: str, config: dict) -> None:
    """Refuse "same" padding that Theano laid otherwise: for even windows and for strides."""
    if config.get("padding") != "same" or not kind.startswith(_WINDOWS):
        return
    sizes = config.get("kernel_size", config.get("pool_size", 1))
    steps = config.get("strides") or sizes
    sizes, steps = ([x] if isinstance(x, int) else x for x in (sizes, steps))
    average = kind.startswith("Average") and any(size > 1 for size in sizes)
    if average or any(size % 2 == 0 for size in sizes) or any(step > 1 for step in steps):
        raise NotImplementedError(
            f"has padding='same' with windows of {list(sizes)} and strides of {list(steps)}, "
            "which the Theano backend laid otherwise than all others"
        )


_SAME_CLASS = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "UnifiedLSTM": "LSTM",
    "UnifiedGRU": "GRU",
    "RandomHeight": "Identity",
    "RandomWidth": "Identity",
    "RandomCrop": "Resizing",
}


def same_class(kind: str, config: dict) -> tuple[str, dict]:
    if kind in ("RandomHeight", "RandomWidth"):
        config = {k: config[k] for k in ("name", "trainable", "dtype") if k in config}
    if kind == "RandomCrop":
        config = config | {"crop_to_aspect_ratio": True}
        config.pop("seed", None)
    return _SAME_CLASS.get(kind, kind), config


def axis(kind: str, config: dict) -> tuple[str, dict]:
    axis = config.get("axis")
    if isinstance(axis, list) and len(axis) == 1:
        config["axis"] = axis[0]
    return kind, config


def policy(kind: str, config: dict) -> tuple[str, dict]:
    dtype = config.get("dtype")
    if isinstance(dtype, dict):
        config["dtype"] = dtype["config"]["name"]
    return kind, config


def input_shape(kind: str, config: dict) -> tuple[str, dict]:
    shape = config.pop("batch_input_shape", None)
    if kind == "InputLayer" and shape is not None:
        config["batch_shape"] = shape
    return kind, config


def function(kind: str, config: dict) -> tuple[str, dict]:
    code = config.get("function")
    if kind == "Lambda" and isinstance(code, list):
        parts = dict(zip(("code", "defaults", "closure"), code, strict=True))
        config["function"] = {"class_name": "__lambda__", "config": parts}
    return kind, config

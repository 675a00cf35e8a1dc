"""Example inputs of a model whose shapes are known, and the signature of inputs."""

import keras
import numpy as np
from keras import ops


def check_model(model) -> None:
    """Raise an error unless it is a Keras model."""
    if not isinstance(model, keras.Layer):
        raise ValueError(
            f"There is no model to explain. Expected: a keras.Model. Received: {type(model)}."
        )


def check_fits(model: keras.Model, inputs) -> None:
    """Refuse inputs that no model takes, or of other shapes than this one declares."""
    wanted = _declared(model)
    if isinstance(inputs, dict) and isinstance(wanted, dict):
        inputs = {name: inputs[name] for name in wanted if name in inputs}
    given = [x.shape for x in keras.tree.flatten(inputs)]
    declared = [x.shape for x in keras.tree.flatten(wanted if wanted is not None else [])]
    fits = len(given) == len(declared) and all(map(_fits, given, declared))
    if not given or any(not shape for shape in given) or (declared and not fits):
        expected = ", ".join(map(str, declared)) or "at least one image"
        raise ValueError(
            f"The images do not fit model {model.name!r}. Expected: {expected}. "
            f"Received: {', '.join(str(tuple(shape)) for shape in given) or 'nothing'}."
        )


def _fits(given, declared) -> bool:
    """Keras adds a last axis of length 1, or takes it away."""
    trailing = abs(len(given) - len(declared)) == 1 and 1 in (given[-1], declared[-1])
    same = len(given) == len(declared)
    pairs = zip(given[1:], declared[1:], strict=False)
    return (same or trailing) and all(None in (a, b) or a == b for a, b in pairs)


def _declared(model: keras.Model):
    """The model's symbolic inputs as it takes them; None when it was never built on any."""
    struct = getattr(model, "_inputs_struct", None)
    if struct is None and isinstance(model, keras.Sequential) and model.built:
        struct = model.inputs[0]
    return struct


def example_inputs(model: keras.Model):
    """Two random examples of what the model takes; None when its shapes are not fixed."""
    struct = _declared(model)
    tensors = keras.tree.flatten(struct) if struct is not None else []
    if not tensors or any(None in t.shape[1:] for t in tensors):
        return None
    rng = np.random.default_rng(0)

    def example(tensor):
        shape = (2, *tensor.shape[1:])
        whole = "int" in tensor.dtype
        values = rng.integers(0, 2, shape) if whole else rng.normal(size=shape)
        return ops.convert_to_tensor(values.astype("float32"), tensor.dtype)

    return keras.tree.map_structure(example, struct)


def signature(inputs) -> tuple:
    """What a plan depends on: the structure, and the shapes and precision of one example."""
    flat = keras.tree.flatten(inputs)
    kinds = tuple((tuple(x.shape[1:]), keras.backend.standardize_dtype(x.dtype)) for x in flat)
    names = tuple(inputs) if isinstance(inputs, dict) else type(inputs).__name__
    return (names if isinstance(inputs, (dict, list, tuple)) else "", kinds)

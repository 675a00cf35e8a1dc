"""Example inputs of a model whose shapes are known, and the signature of inputs."""

import keras
import numpy as np
from keras import ops


def example_inputs(model: keras.Model):
    """Two random examples of what the model takes; None when its shapes are not fixed."""
    struct = getattr(model, "_inputs_struct", None)
    if struct is None and isinstance(model, keras.Sequential) and model.built:
        struct = model.inputs[0]
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

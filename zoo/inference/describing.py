"""What a model takes and gives, and how a picture becomes its input."""

from pathlib import Path
from typing import Any

import zoo
from keras_metric.preprocessing import attached
from zoo.inference.bulk import networks, pixels

OWN, DEFAULT = "stored with the model", "the default; the model stores none"


def described(model: str | Path) -> dict[str, Any]:
    """Facts on a model, by what they are called.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: a file that cannot be read.
    """
    if networks.locate(model).exported:
        return _of_saved_model(Path(model))
    from keras_metric.export import take_apart

    loaded = zoo.load(model)
    parts = take_apart(loaded)
    branch = parts.branches[0]
    facts = {
        "model": str(model),
        "kind": parts.kind,
        "takes": " and ".join(f"{one.shape} {one.dtype}" for _, one in branch.inputs),
        "gives": str(getattr(branch.model, "output_shape", "unknown")),
        "parameters": f"{loaded.count_params():,}",
    }
    own = attached(loaded)
    try:
        facts["preprocessing"] = str(zoo.preprocessing(loaded))
    except ValueError:
        return {**facts, "preprocessing": "none: it does not take images of 1 or 3 channels"}
    facts["which is"] = DEFAULT if own is None else OWN
    doubt = None if own is not None else pixels.warning(branch.model, pixels.BYTES)
    return facts if doubt is None else {**facts, "pixels": doubt}


def _of_saved_model(path: Path) -> dict[str, Any]:
    from keras_metric.export import read_metadata

    facts = read_metadata(path)
    stored = facts.get("preprocessing") is not None
    return {
        "model": str(path),
        "kind": facts["kind"],
        "takes": " and ".join(str(tuple(shape)) for shape in facts["image_shapes"]),
        "signatures": ", ".join(facts["signatures"]),
        "preprocessing": str(zoo.preprocessing(path)),
        "which is": OWN if stored else DEFAULT,
    }

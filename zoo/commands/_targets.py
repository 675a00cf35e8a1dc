"""Parse `--target` into an object of `keras_metric.cam.targets`."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_metric import Preprocessing
    from keras_metric.cam import targets

FORMS = (
    "class:N",
    "dimension:N",
    "output:N",
    "opposite:N",
    "difference:N,M",
    "box:LEFT,TOP,RIGHT,BOTTOM,N[,boxes=OUTPUT]",
    "mask:FILE,N",
    "vector:FILE.npy",
)


def parsed(text: str, preprocess: "Preprocessing") -> "targets.Target":
    """The target that a text describes.

    Args:
        text: one of `FORMS`.
        preprocess: how pictures are brought to their size, and masks with them.

    Raises:
        ValueError: of no such form, or a file that cannot be read.
    """
    from keras_metric.cam import targets

    kind, _, rest = text.partition(":")
    numbered = {
        "class": (targets.Class, 1),
        "dimension": (targets.Dimension, 1),
        "output": (targets.Output, 1),
        "opposite": (targets.Opposite, 1),
        "difference": (targets.Difference, 2),
    }
    try:
        if kind in numbered:
            make, count = numbered[kind]
            numbers = [int(part) for part in rest.split(",")]
            return make(*numbers) if len(numbers) == count else _refuse(text)
        if kind == "box" and rest.partition(",boxes=")[0].count(",") == 4:
            return _box(rest)
        if kind == "mask":
            name, number = rest.rsplit(",", 1)
            return targets.Mask(_mask(Path(name), preprocess), int(number))
        if kind == "vector":
            return targets.Vector(_vector(Path(rest)))
    except ValueError as error:
        if "Expected" in str(error):
            raise
    return _refuse(text)


def _box(rest: str) -> "targets.Target":
    from keras_metric.cam import targets

    rest, _, boxes = rest.partition(",boxes=")
    *sides, number = rest.split(",")
    listed = int(boxes) if boxes.isdecimal() else boxes or None
    return targets.Box([float(side) for side in sides], int(number), boxes=listed)


def fingerprint(text: str | None) -> str | None:
    """Of the file that a target names, so that pictures of another mask are drawn anew."""
    kind, _, rest = (text or "").partition(":")
    name = {"mask": rest.rsplit(",", 1)[0], "vector": rest}.get(kind)
    file = Path(name) if name else None
    return hashlib.sha256(file.read_bytes()).hexdigest() if file and file.is_file() else None


def _mask(file: Path, preprocess: "Preprocessing"):
    return preprocess.with_changes(color="grayscale", fill=0).read(file)[..., 0] / 255


def _vector(file: Path):
    import numpy as np

    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"The vector cannot be read. Expected: an .npy file. Received: {file} ({error})."
        ) from error


def _refuse(text: str):
    raise ValueError(f"No such target. Expected: one of {'; '.join(FORMS)}. Received: {text!r}.")

"""What a map explains: a class's score, before softmax, or another target, by name."""

from keras_metric.cam.targets.targets import (
    Box,
    Class,
    Difference,
    Dimension,
    Function,
    Mask,
    Opposite,
    Output,
    Target,
    Vector,
)

__all__ = [
    "Box",
    "Class",
    "Difference",
    "Dimension",
    "Function",
    "Mask",
    "Opposite",
    "Output",
    "Target",
    "Vector",
]

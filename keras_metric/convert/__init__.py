"""Classifiers as fully convolutional networks: rewritten, checked, and with a map of what they saw.

    fcn = km.convert.to_fully_convolutional(model)  # any size of image, one score per window
    print(km.convert.verify(model, fcn))            # how exact, and which layers are why not
    km.convert.geometry(fcn)                        # what each cell of the output looked at
    km.convert.scan(fcn, photo).scores              # of a large image, in tiles that leave no seam

Each takes a model, or the path of a saved one where it says so.
"""

from dataclasses import replace
from pathlib import Path

import keras

from keras_metric.boxes import intersection_over_union
from keras_metric.convert.apply.detections import Detection, detections, suppress
from keras_metric.convert.apply.heat import heat
from keras_metric.convert.apply.scan import Scan, scan
from keras_metric.convert.apply.segmentation import MeanIU, PixelAccuracy
from keras_metric.convert.apply.upsample import upsample
from keras_metric.convert.convert import Conversion, rewrite
from keras_metric.convert.errors import ConversionError
from keras_metric.convert.geometry.receptive_field import Fault, channels_first
from keras_metric.convert.geometry.geometry import Geometry, geometry, training_size
from keras_metric.convert.loading.old_files import load
from keras_metric.convert.verify.equality import runs_larger, same_at_original_size
from keras_metric.convert.verify.verify import Report, verify

__all__ = [
    "Conversion",
    "ConversionError",
    "Detection",
    "Fault",
    "Geometry",
    "MeanIU",
    "PixelAccuracy",
    "Report",
    "Scan",
    "channels_first",
    "detections",
    "geometry",
    "heat",
    "intersection_over_union",
    "load",
    "scan",
    "suppress",
    "to_fully_convolutional",
    "training_size",
    "upsample",
    "verify",
]


def to_fully_convolutional(
    model: keras.Model | str | Path,
    *,
    pooling: str = "window",
    densify: int = 1,
    input_shape: tuple[int, ...] | None = None,
    allow_global: bool = False,
    tolerance: float | None = None,
    safe_mode: bool = True,
    custom_objects: dict | None = None,
    name: str | None = None,
) -> keras.Model:
    """The same network as a function of images of any size: one output for every window.

        Dense(flatten(x))  =  Conv(kernel reshaped to (h, w, c, units))(x)        (Long 2015, 3.1)
        Dense(mean(x))     =  Conv1x1(mean over h x w at stride 1)(x)             pooling="window"
                           =  mean of Conv1x1(x)                                  pooling="map"

    Input `(B, height, width, C)` with free height and width; output `(B, rows, columns, D)`, or
    channels first where the model is. At the training size there is one cell, equal to the model.
    With convolutions of padding 'valid' every cell of a larger image equals the model on its
    window; `verify` measures that and names the layers that prevent it.

    Args:
        model: a built keras.Model of any kind, or the path of a saved one (see `load`).
        pooling: "window" keeps each cell a classifier of its window. "map" leaves a global
            average pooling out: class activation maps, whose mean over positions is the
            classifier's logit. The last activation is then left out as well.
        densify: how many times finer the cells lie, a divisor of the stride: the last strides
            become dilations, as in "every pixel" windows. For networks padded 'valid'.
        input_shape: size of the training images `(height, width, channels)`, for models that were
            never built or built with free sizes.
        allow_global: keep layers that look at the whole image (attention, normalization over
            space) instead of refusing them.
        tolerance: largest difference in standard deviations of the output before the conversion
            is refused; None chooses 1e-5, more for half precision and where rounding alone moves
            the network by more.
        safe_mode: False lets a file bring Python code along (Lambda layers).
        custom_objects: classes that a saved file names.
        name: of the new model.

    Returns:
        A Functional model with weights of its own. `fcn.conversion` says what was rewritten.

    Raises:
        ConversionError: a layer that has no exact rewriting, by name; a model that does not trace;
            a result that differs from the original.

    Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation", 2015.
    arXiv:1411.4038. Sermanet et al., "OverFeat", 2013. arXiv:1312.6229.
    """
    if pooling not in ("window", "map"):
        raise ValueError(f"pooling is unknown. Expected 'window' or 'map'. Received: {pooling!r}.")
    if not isinstance(densify, int) or densify < 1:
        raise ValueError(f"densify is invalid. Expected an integer >= 1. Received: {densify!r}.")
    if isinstance(model, (str, Path)):
        model = load(model, safe_mode=safe_mode, custom_objects=custom_objects)
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"model is none. Expected a keras.Model or a path. Received: {type(model).__name__}."
        )
    fcn, record = rewrite(
        model,
        pooling=pooling,
        densify=densify,
        allow_global=allow_global,
        input_shape=input_shape,
        name=name,
    )
    notes = same_at_original_size(model, fcn, record, limit=tolerance) + runs_larger(fcn, record)
    fcn.conversion = replace(record, notes=record.notes + notes)
    return fcn

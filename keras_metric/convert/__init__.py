"""Classifiers to fully convolutional networks: conversion, verification and geometry.

    fcn = km.convert.to_fully_convolutional(model)  # any size of image, one score per window
    print(km.convert.verify(model, fcn))            # how exact, and which layers prevent it
    km.convert.geometry(fcn)                        # each cell's window and receptive field
    km.convert.scan(fcn, photo).scores              # of a large image, tile by tile

Each takes a model, or the path of a saved one where its docstring says so.
"""

from keras_metric.boxes import intersection_over_union
from keras_metric.convert.apply.detections import Detection, detections, suppress
from keras_metric.convert.apply.heat import heat
from keras_metric.convert.apply.scan import Scan, scan
from keras_metric.convert.apply.segmentation import MeanIU, PixelAccuracy
from keras_metric.convert.apply.upsample import upsample
from keras_metric.convert.convert import to_fully_convolutional
from keras_metric.convert.errors import ConversionError
from keras_metric.convert.geometry.geometry import Geometry, geometry, training_size
from keras_metric.convert.geometry.walk import InexactLayer, channels_first
from keras_metric.convert.graph.site import Conversion
from keras_metric.convert.loading.old_files import load
from keras_metric.convert.verify.verify import Report, verify

__all__ = [
    "Conversion",
    "ConversionError",
    "Detection",
    "Geometry",
    "InexactLayer",
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

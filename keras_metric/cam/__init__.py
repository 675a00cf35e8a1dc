"""Activation maps: which positions of an image a class score or a similarity comes from.

maps = CAM(model)(images)                        (B, H, W): contribution to the class score
maps = CAM(model)(images, targets.Difference(3, 1))
shares = SimilarityCAM(encoder)(a, b)            contribution of every position
"""

from keras_metric.cam import scores, targets
from keras_metric.cam.class_maps import CAM, Explanation
from keras_metric.cam.methods.completeness import Completeness
from keras_metric.cam.methods.table import METHODS, Evidence, method
from keras_metric.cam.similarity.maps import SimilarityCAM, SimilarityMaps, TripletMaps

__all__ = [
    "CAM",
    "METHODS",
    "Completeness",
    "Evidence",
    "Explanation",
    "SimilarityCAM",
    "SimilarityMaps",
    "TripletMaps",
    "method",
    "scores",
    "targets",
]

"""Plots; the only module that imports matplotlib, and only when something is drawn."""

from keras_metric.plots.boxes import boxes
from keras_metric.plots.figures import figure, outlined, shown
from keras_metric.plots.files import png, save_png, save_report
from keras_metric.plots.maps import comparison, overlay, similarity_lines
from keras_metric.plots.retrieval import curves, distance_histograms, gallery, projection
from keras_metric.plots.search import search

__all__ = [
    "boxes",
    "comparison",
    "curves",
    "distance_histograms",
    "figure",
    "gallery",
    "outlined",
    "overlay",
    "png",
    "projection",
    "save_png",
    "save_report",
    "search",
    "shown",
    "similarity_lines",
]

"""Pictures; the only room that imports matplotlib, and only when something is drawn."""

from keras_metric.plots.retrieval import curves, distance_histograms, gallery, projection

__all__ = ["curves", "distance_histograms", "gallery", "projection"]

"""Siamese, triplet and two-branch networks: `keras.Model` subclasses over any encoder."""

from keras_metric.models.siamese import SiameseNet, TripletNet

__all__ = ["SiameseNet", "TripletNet"]

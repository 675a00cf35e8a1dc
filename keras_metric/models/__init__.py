"""Siamese, triplet and two-branch networks: `keras.Model` subclasses over any encoder."""

from keras_metric.models.cross_branch import CrossBranchLoss, CrossBranchNet
from keras_metric.models.siamese import SiameseNet, TripletNet

__all__ = ["CrossBranchLoss", "CrossBranchNet", "SiameseNet", "TripletNet"]

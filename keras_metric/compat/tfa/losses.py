"""The metric-learning names of `tensorflow_addons.losses`."""

from .contrastive import ContrastiveLoss, contrastive_loss
from .lifted import LiftedStructLoss, lifted_struct_loss
from .npairs import NpairsLoss, NpairsMultilabelLoss, npairs_loss, npairs_multilabel_loss
from .triplet import (
    TripletHardLoss,
    TripletSemiHardLoss,
    triplet_hard_loss,
    triplet_semihard_loss,
)

__all__ = [
    "ContrastiveLoss",
    "LiftedStructLoss",
    "NpairsLoss",
    "NpairsMultilabelLoss",
    "TripletHardLoss",
    "TripletSemiHardLoss",
    "contrastive_loss",
    "lifted_struct_loss",
    "npairs_loss",
    "npairs_multilabel_loss",
    "triplet_hard_loss",
    "triplet_semihard_loss",
]

"""Batches for metric-learning losses: P classes x K images, pairs, triplets.

A batch depends only on (seed, epoch, index), not on the batches drawn before: training resumed at
epoch k gets the same batches as an uninterrupted run.
"""

from keras_metric.batches.base import MEMBERS, Batches
from keras_metric.batches.folder import FolderImages
from keras_metric.batches.pairs import PairBatches
from keras_metric.batches.pk import PKBatches
from keras_metric.batches.sampler import PKSampler
from keras_metric.batches.stream import pk_dataset
from keras_metric.batches.triplets import TripletBatches
from keras_metric.labels import exact_labels

__all__ = [
    "MEMBERS",
    "Batches",
    "FolderImages",
    "PKBatches",
    "PKSampler",
    "PairBatches",
    "TripletBatches",
    "exact_labels",
    "pk_dataset",
]

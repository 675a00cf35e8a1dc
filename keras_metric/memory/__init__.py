"""Beyond memory: gradient cache, cross-batch memory, samples of classes and of other replicas."""

from keras_metric.memory.cross_batch import CrossBatchMemory
from keras_metric.memory.gradient_cache import GradientCache
from keras_metric.memory.partial_fc import PartialFC
from keras_metric.numerics.replicas import gather, replica_mean

__all__ = ["CrossBatchMemory", "GradientCache", "PartialFC", "gather", "replica_mean"]

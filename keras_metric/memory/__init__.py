"""Larger batches than memory holds: micro-batches, a memory of past batches, other replicas."""

from keras_metric.memory.cross_batch import CrossBatchMemory
from keras_metric.memory.gradient_cache import GradientCache
from keras_metric.numerics.replicas import gather, replica_mean

__all__ = ["CrossBatchMemory", "GradientCache", "gather", "replica_mean"]

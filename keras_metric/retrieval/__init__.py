"""Embeddings become searchable."""

from keras_metric.retrieval.fingerprint import fingerprint

__all__ = ["fingerprint"]

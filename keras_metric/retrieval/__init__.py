"""Embeddings become searchable."""

from keras_metric.retrieval.fingerprint import fingerprint
from keras_metric.retrieval.shards import (
    Shard,
    read_manifest,
    read_shard,
    read_shards,
    write_shard,
)

__all__ = ["Shard", "fingerprint", "read_manifest", "read_shard", "read_shards", "write_shard"]

"""Embeddings become searchable: an index that is saved whole and knows which weights made it.

`calibrate` says from which distance on two things are no longer the same, `open_set` how often a
stranger is taken for somebody. `write_shard` and `read_shards` keep embeddings on the disk.
"""

from keras_metric.retrieval.calibration import Calibration, calibrate, calibrate_pairs
from keras_metric.retrieval.fingerprint import fingerprint
from keras_metric.retrieval.found import Found
from keras_metric.retrieval.index import Index
from keras_metric.retrieval.matchers import Matches
from keras_metric.retrieval.open_set import open_set
from keras_metric.retrieval.recall import Recall
from keras_metric.retrieval.shards import (
    Shard,
    read_manifest,
    read_shard,
    read_shards,
    write_shard,
)

__all__ = [
    "Calibration",
    "Found",
    "Index",
    "Matches",
    "Recall",
    "Shard",
    "calibrate",
    "calibrate_pairs",
    "fingerprint",
    "open_set",
    "read_manifest",
    "read_shard",
    "read_shards",
    "write_shard",
]

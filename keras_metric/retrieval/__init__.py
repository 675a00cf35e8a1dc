"""Embeddings become searchable: an index that is saved whole and knows which weights made it.

`calibrate` says from which distance on two things are no longer the same, `open_set` how often a
stranger is taken for somebody. `write_shard` and `read_shards` keep embeddings on the disk, and
load no Keras.
"""

from importlib import import_module

_HOMES = {
    "Calibration": "calibration",
    "Found": "found",
    "Index": "index",
    "Matches": "matchers",
    "Recall": "recall",
    "Shard": "storage.shards",
    "calibrate": "calibration",
    "calibrate_pairs": "calibration",
    "fingerprint": "weights",
    "open_set": "identification",
    "read_manifest": "storage.shards",
    "read_shard": "storage.shards",
    "read_shards": "storage.shards",
    "write_shard": "storage.shards",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(
            f"keras_metric.retrieval has no attribute {name!r}. Expected one of: "
            f"{', '.join(__all__)}."
        )
    return getattr(import_module(f"keras_metric.retrieval.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

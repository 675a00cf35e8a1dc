"""Search, matching and thresholds for embeddings.

`Index` stores embeddings with labels and metadata, searches them, and keeps the fingerprint of the
model that made them. `Refinement` improves the order of what a search finds (`expanded` queries,
`k_reciprocal` re-ranking). `calibrate` chooses the distance up to which two items count as the
same; `open_set` measures how often items that are not in the gallery are accepted. `write_shard`
and `read_shards` store embeddings on disk without loading Keras.
"""

from importlib import import_module

_HOMES = {
    "Calibration": "calibration",
    "Filter": "storage.table",
    "Found": "found",
    "Index": "index",
    "MANIFEST": "storage.shards",
    "Matches": "matchers",
    "PCA": "pca",
    "Recall": "recall",
    "Refinement": "refinement",
    "Shard": "storage.shards",
    "calibrate": "calibration",
    "calibrate_pairs": "calibration",
    "check_place": "storage.generations",
    "expanded": "expansion",
    "fingerprint": "weights",
    "k_reciprocal": "reranking",
    "load_calibration": "calibration",
    "matched": "matchers",
    "open_set": "identification",
    "read_manifest": "storage.shards",
    "read_shard": "storage.shards",
    "read_shards": "storage.shards",
    "refuse_another": "encoding",
    "save_calibration": "calibration",
    "shard_facts": "storage.shards",
    "shard_name": "storage.shards",
    "write_shard": "storage.shards",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(
            f"keras_metric.retrieval has no such attribute. Expected: one of "
            f"{', '.join(__all__)}. Received: {name!r}."
        )
    return getattr(import_module(f"keras_metric.retrieval.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

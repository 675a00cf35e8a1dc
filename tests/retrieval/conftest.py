"""An index of every kind, over every engine."""

import os
import uuid

import pytest

from keras_metric.retrieval import Index

KINDS = {
    "exact": {},
    "ivf": {"nlist": 4, "nprobe": 4},
    "hnsw": {"m": 8, "ef_search": 200},
}
SERVER = os.environ.get("KERAS_METRIC_MILVUS")  # the address of a server to try all of it on
ENGINES = ["faiss exact", "faiss ivf", "faiss hnsw", "milvus-lite exact"]
if SERVER:
    ENGINES += [f"server {kind}" for kind in KINDS]


@pytest.fixture(params=ENGINES)
def new(request, tmp_path):
    """What makes an empty index: all of them answer alike on few vectors."""
    made, (engine, kind) = [], request.param.split()
    pytest.importorskip({"faiss": "faiss", "milvus-lite": "milvus_lite"}.get(engine, "pymilvus"))

    def make(encoder=None, **options):
        options |= {"kind": kind, "options": KINDS[kind]}
        if engine == "milvus-lite":
            options |= {"engine": str(tmp_path / f"{len(made)}.db")}
        if engine == "server":
            options |= {"engine": SERVER, "collection": f"test_{uuid.uuid4().hex}"}
        made.append(Index(encoder, **options))
        return made[-1]

    yield make
    for index in made:
        if engine == "server":
            index._remote.client.drop_collection(index._name)
        index.close()

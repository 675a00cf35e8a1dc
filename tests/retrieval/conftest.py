"""An index of every kind, over every engine."""

import pytest

from keras_metric.retrieval import Index

KINDS = {
    "exact": {},
    "ivf": {"nlist": 4, "nprobe": 4},
    "hnsw": {"m": 8, "ef_search": 200},
    "milvus": {},
}


@pytest.fixture(params=KINDS)
def new(request, tmp_path):
    """What makes an empty index: all of them answer alike on few vectors."""
    made, kind = [], request.param
    pytest.importorskip("milvus_lite" if kind == "milvus" else "faiss")

    def make(encoder=None, **options):
        if kind == "milvus":
            options |= {"engine": str(tmp_path / f"{len(made)}.db")}
        else:
            options |= {"kind": kind, "options": KINDS[kind]}
        made.append(Index(encoder, **options))
        return made[-1]

    yield make
    for index in made:
        index.close()

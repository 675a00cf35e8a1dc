"""What each library does in `index.py`: N embeddings into an index, and queries out of it.

The embeddings are the same for all: 128 dimensions, unit length, 10 of each class; queries are
further points of the same classes. A step of a search returns recall@10, against the products of
all queries with all embeddings; a step of a build returns how many were put in.
"""

import numpy as np

DIMENSIONS, IMAGES, K = 128, 10, 10
BUILD = "build"
ONE = "100 queries one by one"
BATCH = "1,000 queries at once"
CASES = (BUILD, ONE, BATCH)
CONTENDERS = {
    "keras-metric": CASES,
    "faiss": CASES,
    "scikit-learn": CASES,
    "approximate-ivf": CASES,
    "approximate-hnsw": CASES,
    "tensorflow-similarity": CASES,
}
VALUE = {ONE: "recall@10", BATCH: "recall@10"}


def embeddings(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stored embeddings, their labels, and queries."""
    rng = np.random.default_rng(size)
    classes = max(1, size // IMAGES)
    centres = rng.normal(size=(classes, DIMENSIONS)).astype("float32")
    labels = np.arange(size) % classes
    return (
        _points(rng, centres, labels),
        labels,
        _points(rng, centres, rng.integers(classes, size=1000)),
    )


def build(contender: str, case: str, size: int):
    """A step that builds an index of `size` embeddings, or searches in one."""
    points, labels, queries = embeddings(size)
    make = {
        "keras-metric": lambda: _ours("exact"),
        "approximate-ivf": lambda: _ours("ivf"),
        "approximate-hnsw": lambda: _ours("hnsw"),
        "faiss": _faiss,
        "scikit-learn": _scikit_learn,
        "tensorflow-similarity": _tensorflow_similarity,
    }[contender]()
    if case == BUILD:
        return lambda: make(points, labels)[0]
    _, search = make(points, labels)
    asked = queries[:100] if case == ONE else queries
    truth = _truth(points, asked)

    def step():
        if case == ONE:
            found = np.concatenate([search(query[None]) for query in asked])
        else:
            found = search(asked)
        hits = [len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True)]
        return np.mean(hits) / K

    return step


def _ours(kind: str):
    from keras_metric.retrieval import Index

    def make(points, labels):
        index = Index(distance="cosine", kind=kind)
        index.add(points, labels)
        index.search(points[:1], K)  # inverted lists are learnt at the first search
        return len(index), lambda queries: index.search(queries, K).ids

    return make


def _faiss():
    import faiss

    def make(points, labels):
        index = faiss.IndexFlatIP(DIMENSIONS)
        index.add(points)
        return index.ntotal, lambda queries: index.search(queries, K)[1]

    return make


def _scikit_learn():
    from sklearn.neighbors import NearestNeighbors

    def make(points, labels):
        index = NearestNeighbors(n_neighbors=K, metric="cosine", algorithm="brute").fit(points)
        return len(points), lambda queries: index.kneighbors(queries, return_distance=False)

    return make


def _tensorflow_similarity():
    """Its indexer has one search, the approximate one of nmslib; labels stand for rows."""
    from tensorflow_similarity.indexer import Indexer

    def make(points, labels):
        index = Indexer(DIMENSIONS, distance="cosine")
        rows = np.arange(len(points))
        index.batch_add(points, labels=rows, build=True, verbose=0)

        def search(queries):
            if len(queries) == 1:
                return np.array([[x.label for x in index.single_lookup(queries, k=K)]])
            found = index.batch_lookup(queries, k=K, verbose=0)
            return np.array([[x.label for x in one] for one in found])

        return len(points), search

    return make


def _points(rng, centres, labels) -> np.ndarray:
    points = centres[labels] + 1.5 * rng.normal(size=(len(labels), DIMENSIONS)).astype("float32")
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _truth(points: np.ndarray, queries: np.ndarray) -> np.ndarray:
    blocks = [
        np.argpartition(-(queries[start : start + 100] @ points.T), K - 1, axis=1)[:, :K]
        for start in range(0, len(queries), 100)
    ]
    return np.concatenate(blocks)

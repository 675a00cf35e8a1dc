"""What each library calls for each case of `evaluation.py`: a set of embeddings against itself.

The embeddings are the same for all: 128 dimensions, unit length, 10 of each class, classes that
overlap (MAP@R about 0.5 at 10,000). Each step returns MAP@R: the value on which all must agree.
"""

import numpy as np

DIMENSIONS, IMAGES = 128, 10
FEW = "precision@1, R-precision, MAP@R"
MANY = "every measure"
CASES = (FEW, MANY)
CONTENDERS = {
    "pytorch-metric-learning": CASES,
    "faiss": (FEW,),
    "keras-metric/tensorflow": CASES,
    "keras-metric/torch": CASES,
    "keras-metric/jax": CASES,
    "floor/tensorflow": CASES,
    "floor/torch": CASES,
    "floor/jax": CASES,
}
BLOCK = 2**24  # products held at once by the floor


def embeddings(size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(size)
    labels = rng.permutation(np.arange(size) // IMAGES)
    centres = rng.normal(size=(labels.max() + 1, DIMENSIONS)).astype("float32")
    points = centres[labels] + 1.5 * rng.normal(size=(size, DIMENSIONS)).astype("float32")
    return labels, points / np.linalg.norm(points, axis=1, keepdims=True)


def build(contender: str, case: str, size: int):
    """A step that evaluates `size` embeddings and returns MAP@R (the floor: a product)."""
    make = {
        "pytorch-metric-learning": _pytorch,
        "faiss": _faiss,
        "keras-metric": _ours,
        "floor": _floor,
    }[contender.partition("/")[0]]
    return make(case, *embeddings(size))


def _ours(case, labels, points):
    from keras_metric.metrics import retrieval
    from keras_metric.metrics.neighbours import scores

    if case == MANY:
        return lambda: retrieval(points, labels, k=(1, 5, 10))["map@r"]
    return lambda: scores(["precision@1", "r_precision", "map@r"], points, labels)["map@r"]


def _pytorch(case, labels, points):
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    names = ["precision_at_1", "r_precision", "mean_average_precision_at_r"]
    if case == MANY:
        names += ["mean_average_precision", "mean_reciprocal_rank"]
    calculator = AccuracyCalculator(include=names, k="max_bin_count")
    points, labels = torch.from_numpy(points), torch.from_numpy(labels)
    return lambda: calculator.get_accuracy(points, labels)["mean_average_precision_at_r"]


def _faiss(case, labels, points):
    """The exact search alone and MAP@R from it: what one writes without a library."""
    import faiss

    relevant = np.bincount(labels)[labels] - 1  # at most IMAGES - 1

    def run():
        index = faiss.IndexFlatL2(DIMENSIONS)
        index.add(points)
        _, found = index.search(points, IMAGES)
        others = found[:, 1:]  # the nearest is the query itself
        hits = labels[others] == labels[:, None]
        ranks = np.arange(1, others.shape[1] + 1)
        hits &= ranks <= relevant[:, None]
        precision = np.cumsum(hits, axis=1) / ranks
        lonely = relevant == 0
        return ((precision * hits).sum(axis=1) / np.maximum(relevant, 1))[~lonely].mean()

    return run


def _floor(case, labels, points):
    """The products of all pairs and nothing else, in blocks."""
    from keras import ops

    rows = max(1, BLOCK // len(points))
    columns = ops.transpose(ops.convert_to_tensor(points))

    def run():
        last = 0.0
        for start in range(0, len(points), rows):
            products = ops.matmul(ops.convert_to_tensor(points[start : start + rows]), columns)
            last = float(products[0, 0])  # waits for the block
        return last

    return run

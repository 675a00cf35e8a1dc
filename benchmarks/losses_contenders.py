"""What each library calls for each case of `losses.py`: loss and gradient in one step.

The batch is the same for all: unit vectors of 128 dimensions, 4 of each class. Margins agree
where libraries have one; where definitions differ (which triplets count, how they are averaged)
each library runs its own, and README.md says so.
"""

import os

import numpy as np

DIMENSIONS, IMAGES = 128, 4
MARGIN = 0.2
ROWS_PER_BLOCK = 1024  # of the contender "keras-metric-blocks"
SOFTMAX, TWO = "n-pairs, softmax over the row", "n-pairs, two of a class"

OURS = {
    "semi-hard": ("TripletLoss", {"margin": MARGIN, "mining": "semi_hard"}),
    "semi-hard of the hardest": ("TripletLoss", {"margin": MARGIN, "mining": "hardest_semi_hard"}),
    "hard": ("TripletLoss", {"margin": MARGIN, "mining": "hard"}),
    "all triplets": ("TripletLoss", {"margin": MARGIN, "mining": "all"}),
    "contrastive": ("PairwiseContrastiveLoss", {"squared": False}),
    "multi-similarity": ("MultiSimilarityLoss", {}),
    "circle": ("CircleLoss", {}),
    "lifted structure": ("LiftedStructureLoss", {}),
    "n-pairs": ("NPairsLoss", {}),
    TWO: ("NPairsLoss", {}),
    SOFTMAX: ("NpairsLoss", {}),
    "InfoNCE": ("InfoNCELoss", {}),
    "SupCon": ("SupConLoss", {}),
}
ADDONS = {
    "semi-hard": ("TripletSemiHardLoss", {"margin": MARGIN}),
    "hard": ("TripletHardLoss", {"margin": MARGIN}),
    "lifted structure": ("LiftedStructLoss", {}),
    SOFTMAX: ("NpairsLoss", {}),
}
SIMILARITY = {
    "semi-hard of the hardest": ("TripletLoss", {"distance": "L2", "margin": MARGIN}),
    "hard": (
        "TripletLoss",
        {"distance": "L2", "margin": MARGIN, "negative_mining_strategy": "hard"},
    ),
    "multi-similarity": ("MultiSimilarityLoss", {}),
    "circle": ("CircleLoss", {}),
}
PYTORCH = {
    "semi-hard": ("TripletMarginLoss", {"margin": MARGIN}),
    "hard": ("TripletMarginLoss", {"margin": MARGIN}),
    "all triplets": ("TripletMarginLoss", {"margin": MARGIN}),
    "contrastive": ("ContrastiveLoss", {}),
    "multi-similarity": ("MultiSimilarityLoss", {}),
    "circle": ("CircleLoss", {}),
    "lifted structure": ("LiftedStructureLoss", {}),
    TWO: ("NPairsLoss", {}),
    "InfoNCE": ("NTXentLoss", {}),
    "SupCon": ("SupConLoss", {}),
}
IN_BLOCKS = {case: OURS[case] for case in OURS if case not in (SOFTMAX, TWO)}
CASES = tuple(OURS)
CONTENDERS = {
    "tensorflow-addons": ADDONS,
    "tensorflow-similarity": SIMILARITY,
    "pytorch-metric-learning": PYTORCH,
    "keras-metric/tensorflow": OURS,
    "keras-metric/torch": OURS,
    "keras-metric-compiled/torch": OURS,
    "keras-metric/jax": OURS,
    "keras-metric-blocks/tensorflow": IN_BLOCKS,
    "keras-metric-blocks/torch": IN_BLOCKS,
    "keras-metric-blocks/jax": IN_BLOCKS,
    "floor/tensorflow": OURS,
    "floor/torch": OURS,
    "floor/jax": OURS,
}
RATIOS = (
    "keras-metric/tensorflow",
    "floor/tensorflow",
    {
        "tensorflow-addons": "TF Addons",
        "tensorflow-similarity": "TF Similarity",
        "pytorch-metric-learning": "pytorch-metric-learning",
    },
)


def batch(size: int, images: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(size)
    points = rng.normal(size=(size, DIMENSIONS)).astype("float32")
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return rng.permutation(np.arange(size) // images), points


def build(contender: str, case: str, size: int, rows_per_block: int = ROWS_PER_BLOCK):
    """A step of `case` at batch `size`: does loss and gradient, returns the loss."""
    labels, points = batch(size, 2 if case == TWO else IMAGES)
    name, arguments = CONTENDERS[contender][case]
    library, _, backend = contender.partition("/")
    if library == "tensorflow-addons":
        return _tensorflow_step(_addons(name, arguments), labels, points)
    if library == "tensorflow-similarity":
        return _tensorflow_step(_similarity(name, arguments), labels, points)
    if library == "pytorch-metric-learning":
        return _torch_step(_pytorch(case, name, arguments), labels, points)
    step = {"tensorflow": _tensorflow_step, "torch": _torch_step, "jax": _jax_step}[backend]
    if library == "floor":
        return step(None, labels, points[::2] if case == TWO else points)
    if library == "keras-metric-blocks":
        arguments = arguments | {"rows_per_block": min(rows_per_block, size)}
    if library == "keras-metric-compiled":
        return _compiled_step(_ours(case, name, arguments), labels, points)
    return step(_ours(case, name, arguments), labels, points)


def _compiled_step(loss, labels, points):
    """torch.compile for this shape alone, as the batches of a training have one; done already."""
    import torch

    torch.compiler.reset()
    run = _torch_step(torch.compile(loss, dynamic=False), labels, points)
    run()
    return run


def _ours(case, name, arguments):
    from keras import ops

    import keras_metric as km
    from keras_metric.numerics.operations import all_products

    if case == SOFTMAX:
        loss = km.compat.tfa.NpairsLoss(**arguments)
        return lambda labels, points: loss(labels, all_products(points, points))
    loss = getattr(km.losses, name)(**arguments)
    if case != TWO:
        return loss

    def first_with_second(labels, points):
        order = ops.argsort(labels)
        (a, p), rows = (order[::2], order[1::2]), ops.take
        return loss.loss_against(
            rows(labels, a, 0), rows(points, a, 0), rows(labels, p, 0), rows(points, p, 0)
        )

    return first_with_second


def _addons(name, arguments):
    import tensorflow as tf
    import tensorflow_addons as tfa

    loss = getattr(tfa.losses, name)(**arguments)
    if name == "NpairsLoss":  # it takes the matrix of products
        return lambda labels, points: loss(labels, tf.matmul(points, points, transpose_b=True))
    return loss


def _similarity(name, arguments):
    assert os.environ.get("TF_USE_LEGACY_KERAS") == "1", "TF Similarity needs Keras 2"
    import tensorflow_similarity.losses as losses

    return getattr(losses, name)(**arguments)


def _pytorch(case, name, arguments):
    from pytorch_metric_learning import losses, miners

    loss = getattr(losses, name)(**arguments)
    mining = {
        "semi-hard": lambda: miners.TripletMarginMiner(margin=MARGIN, type_of_triplets="semihard"),
        "hard": lambda: miners.BatchHardMiner(),
    }
    if case not in mining:
        return lambda labels, points: loss(points, labels)
    miner = mining[case]()
    return lambda labels, points: loss(points, labels, miner(points, labels))


def _tensorflow_step(loss, labels, points):
    import tensorflow as tf

    labels, points = tf.constant(labels), tf.constant(points)

    @tf.function
    def step(labels, points):
        with tf.GradientTape() as tape:
            tape.watch(points)
            if loss is None:
                value = tf.matmul(points, points, transpose_b=True)
            else:
                value = tf.reduce_mean(loss(labels, points))
        gradient = tape.gradient(value, points, output_gradients=value if loss is None else None)
        return value[0, 0] if loss is None else value, tf.convert_to_tensor(gradient)

    def run():
        value, gradient = step(labels, points)
        gradient.numpy()
        return value.numpy()

    return run


def _torch_step(loss, labels, points):
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    labels = torch.as_tensor(labels, device=device)
    points = torch.as_tensor(points, device=device).requires_grad_()

    def run():
        points.grad = None
        if loss is None:
            value = points @ points.T
            value.backward(gradient=value.detach())
            value = value[0, 0]
        else:
            value = loss(labels, points).mean()
            value.backward()
        points.grad.sum().item()
        return value.item()

    return run


def _jax_step(loss, labels, points):
    import jax
    import jax.numpy as jnp

    labels, points = jnp.asarray(labels), jnp.asarray(points)

    @jax.jit
    def floor(points):
        value, pull_back = jax.vjp(lambda points: points @ points.T, points)
        return value[0, 0], pull_back(value)[0]

    step = floor if loss is None else jax.jit(jax.value_and_grad(lambda x: loss(labels, x).mean()))
    step = step.lower(points).compile()

    def run():
        value, gradient = step(points)
        gradient.block_until_ready()
        return value.item()

    memory = step.memory_analysis()
    run.bytes = memory.temp_size_in_bytes + memory.output_size_in_bytes

    return run

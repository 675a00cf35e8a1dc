"""The map methods: `Evidence -> raw map (B, N)`, one function each, in one table.

N positions p, K channels, A = activation, g = d score / d A. Raw means before ReLU and resizing.
A new method is a function under `@method(name, needs=...)`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

METHODS: dict[str, "Method"] = {}
NEEDS = ("activations", "weights", "gradients", "curvatures", "masks", "ablations", "biases")
EPSILON = 1e-7


class Evidence(NamedTuple):
    """What a method may look at; fields it did not ask for are None.

    Shapes: activations, gradients, curvatures `(B, N, K)`; weights of M classes `(B, K, M)`, or
    `(K, M)` when they are the same for all images; score `(B,)`; masked and ablated scores
    `(B, K)`.
    """

    activations: Any
    score: Any
    weights: Any = None
    gradients: Any = None
    curvatures: Any = None
    masked_scores: Any = None
    ablated_scores: Any = None


class Method(NamedTuple):
    """A row of the table.

    `target` is the score it explains: of the class, or of the class against its nearest rivals.
    `complete` says what the raw map adds up to: "mean", "sum" or None.
    """

    name: str
    function: Callable | None
    needs: str
    target: str
    complete: str | None


def method(name: str, needs: str, *, target: str = "class", complete: str | None = None):
    """Enter a function into the table."""
    if needs not in NEEDS:
        raise ValueError(f"Unknown evidence. Expected one of: {NEEDS}. Received needs={needs!r}.")

    def enter(function):
        if name in METHODS:
            raise ValueError(f"The method {name!r} exists. Expected a new name. Received it twice.")
        METHODS[name] = Method(name, function, needs, target, complete)
        return function

    return enter


def find(name: str) -> Method:
    if name not in METHODS:
        raise ValueError(
            f"Unknown map method. Expected one of: {', '.join(METHODS)}. Received method={name!r}."
        )
    return METHODS[name]


def weighted(weights, activations):
    """Sum over channels: `(B, K) or (B, N, K), (B, N, K) -> (B, N)`."""
    if len(weights.shape) == 2:
        return ops.einsum("bk,bnk->bn", weights, activations)
    return ops.sum(weights * activations, axis=-1)


@method("cam", needs="weights", complete="mean")
def cam(e: Evidence):
    """w_c . A: exact behind global average pooling. Zhou et al. 2016, eq. 2. arXiv:1512.04150

    All classes asked for in one product, turned to `(B, M, N)`.
    """
    return ops.swapaxes(ops.matmul(e.activations, e.weights), 1, 2)


@method("gradcam", needs="gradients", complete="sum")
def gradcam(e: Evidence):
    """mean_p(g) . A. Selvaraju et al. 2017, eq. 1-2. arXiv:1610.02391"""
    return weighted(ops.mean(e.gradients, axis=1), e.activations)


@method("gradcam++", needs="gradients")
def gradcam_plus_plus(e: Evidence):
    """sum_p(alpha relu(g)) . A with alpha = 1 / (2 + g sum_p A), free of the activations' scale.

    The published g^2 / (2 g^2 + g^3 sum A) with g^2 divided out, so that no epsilon decides.
    Chattopadhay et al. 2018, eq. 19. arXiv:1710.11063
    """
    positive = ops.relu(e.gradients)
    denominator = 2.0 + positive * ops.sum(e.activations, axis=1, keepdims=True)
    alpha = 1.0 / ops.where(denominator == 0, 1.0, denominator)
    return weighted(ops.sum(alpha * positive, axis=1), e.activations)


@method("hirescam", needs="gradients", complete="sum")
def hirescam(e: Evidence):
    """g . A: adds up to the score for every affine head. Draelos & Carin 2020. arXiv:2011.08891"""
    return weighted(e.gradients, e.activations)


@method("xgradcam", needs="gradients", complete="sum")
def xgradcam(e: Evidence):
    """(sum_p g A / sum_p A) . A. Fu et al. 2020, eq. 8. arXiv:2008.02312"""
    total = ops.sum(e.activations, axis=1)
    share = ops.sum(e.gradients * e.activations, axis=1)
    return weighted(share / ops.where(total == 0, 1.0, total), e.activations)


@method("layercam", needs="gradients")
def layercam(e: Evidence):
    """relu(g) . A. Jiang et al. 2021, eq. 6. doi:10.1109/TIP.2021.3089943"""
    return weighted(ops.relu(e.gradients), e.activations)


@method("shapleycam", needs="curvatures")
def shapleycam(e: Evidence):
    """mean_p(g - H A / 2) . A, H the Hessian: Grad-CAM with its second order. arXiv:2501.06261"""
    return weighted(ops.mean(e.gradients - 0.5 * e.curvatures, axis=1), e.activations)


@method("finercam", needs="gradients", target="rivals")
def finercam(e: Evidence):
    """Grad-CAM of the class's score minus the mean score of its three nearest rivals.

    Zhang et al. 2025, eq. 5. arXiv:2501.11309
    """
    return gradcam(e)


@method("eigencam", needs="activations")
def eigencam(e: Evidence):
    """Projection on the first principal direction of A. Muhammad & Yeasin 2020. arXiv:2008.00299"""
    return principal_projection(e.activations)


@method("eigengradcam", needs="gradients")
def eigengradcam(e: Evidence):
    """Projection on the first principal direction of g A: Eigen-CAM that knows the class."""
    return principal_projection(e.gradients * e.activations)


@method("scorecam", needs="masks")
def scorecam(e: Evidence):
    """softmax_k(score of the image under mask A_k) . A. Wang et al. 2020. arXiv:1910.01279"""
    return weighted(ops.softmax(e.masked_scores, axis=-1), e.activations)


@method("ablationcam", needs="ablations")
def ablationcam(e: Evidence):
    """((y - y without channel k) / |y|) . A. Desai & Ramaswamy 2020, eq. 3.

    The magnitude of y, since dividing by a negative score would turn the map over.
    """
    y = e.score[:, None]
    return weighted((y - e.ablated_scores) / (ops.abs(y) + EPSILON), e.activations)


METHODS["fullgrad"] = Method("fullgrad", None, "biases", "class", None)


def principal_projection(matrices):
    """`(B, N, K) -> (B, N)`: rows, centred, on their first right singular vector.

    The sign, which a singular vector leaves open, is the one that goes with the sum over channels.
    """
    centred = matrices - ops.mean(matrices, axis=1, keepdims=True)
    turned = ops.swapaxes(centred, 1, 2)
    if matrices.shape[1] <= matrices.shape[2]:
        values, vectors = ops.eigh(ops.matmul(centred, turned))
        projection = vectors[..., -1] * ops.sqrt(ops.relu(values[..., -1:]))
    else:
        _, vectors = ops.eigh(ops.matmul(turned, centred))
        projection = ops.matmul(centred, vectors[..., -1:])[..., 0]
    agreement = ops.sum(projection * ops.sum(centred, axis=-1), axis=-1, keepdims=True)
    return projection * ops.where(agreement < 0, -1.0, 1.0)

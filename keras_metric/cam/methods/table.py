"""The map methods: `Evidence -> raw map (B, N)`, one function each, in one table.

N positions p, K channels, A = activation, g = d score / d A. Raw means before ReLU and resizing.
A new method is a function under `@method(name, needs=...)`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

METHODS: dict[str, "Method"] = {}
NEEDS = (
    "activations",
    "weights",
    "gradients",
    "curvatures",
    "masks",
    "ablations",
    "biases",
    "pixels",
    "path",
    "occlusions",
    "random masks",
    "attention",
    "relevance",
)
COMPLETE = (None, "mean", "sum", "path", "shares", "relevance")
OF_THE_IMAGE = ("pixels", "path", "occlusions", "random masks")  # no layer is looked at
OF_MANY_PASSES = ("masks", "ablations", "path", "occlusions", "random masks")
EPSILON = 1e-7


class Evidence(NamedTuple):
    """The inputs of a method; fields that it does not need are None.

    Shapes: activations, gradients, curvatures `(B, N, K)`; weights of M classes `(B, K, M)`, or
    `(K, M)` when they are the same for all images; score `(B,)`; masked and ablated scores
    `(B, K)`. For methods that need pixels, a path or masks of the image, the image itself is
    the activation; masks of the image are `(M, N)`, and its masked scores `(B, M)`. Attentions and
    their gradients are lists of `(B, heads, T, T)`, one per layer; the readout `(T,)` weights the
    tokens from which the output is computed; methods of attention return `(B, T)`.
    """

    activations: Any
    score: Any
    weights: Any = None
    gradients: Any = None
    curvatures: Any = None
    masked_scores: Any = None
    ablated_scores: Any = None
    masks: Any = None
    attentions: Any = None
    attention_gradients: Any = None
    readout: Any = None


class Method(NamedTuple):
    """A row of the table.

    needs: the evidence that it needs, one of `NEEDS`.
    target: the score it explains: of the class, or of the class against its nearest rivals.
    complete: what the raw map adds up to, None for nothing. "mean": the mean plus the bias is the
        score of a linear head; "sum": the sum plus the score at zero activation is; "path": the
        sum is the score minus that of an image of zeros; "shares": the sum is the score of a net
        of ReLU; "relevance": with what biases and softmax keep, the sum is the score.
    smooth: default of `CAM(smooth=)`: "noise", "flips", or None for a single map.
    paper: where it was published, None if it was not.
    """

    name: str
    function: Callable | None
    needs: str
    target: str = "class"
    complete: str | None = None
    smooth: str | None = None
    paper: str | None = None


def method(
    name: str,
    needs: str,
    *,
    target: str = "class",
    complete: str | None = None,
    smooth: str | None = None,
    paper: str | None = None,
):
    """Register a function `Evidence -> (B, N)` as a map method; arguments as in `Method`."""
    if needs not in NEEDS:
        raise ValueError(f"Unknown evidence. Expected: one of {NEEDS}. Received: needs={needs!r}.")
    if complete not in COMPLETE:
        raise ValueError(
            f"Unknown sum. Expected: one of {COMPLETE}. Received: complete={complete!r}."
        )

    def enter(function):
        if name in METHODS:
            raise ValueError(
                f"The method {name!r} exists. Expected: a new name. Received: it twice."
            )
        METHODS[name] = Method(name, function, needs, target, complete, smooth, paper)
        return function

    return enter


def find(name: str) -> Method:
    if name not in METHODS:
        raise ValueError(
            f"Unknown map method. Expected: one of {', '.join(METHODS)}. Received: method={name!r}."
        )
    return METHODS[name]


def weighted(weights, activations):
    """Sum over channels: `(B, K) or (B, N, K), (B, N, K) -> (B, N)`."""
    if len(weights.shape) == 2:
        return ops.einsum("bk,bnk->bn", weights, activations)
    return ops.sum(weights * activations, axis=-1)


@method("cam", needs="weights", complete="mean", paper="arXiv:1512.04150")
def cam(e: Evidence):
    """w_c . A: exact behind global average pooling. Zhou et al. 2016, eq. 2. arXiv:1512.04150

    All requested classes in one product, `(B, M, N)`.
    """
    return ops.swapaxes(ops.matmul(e.activations, e.weights), 1, 2)


@method("gradcam", needs="gradients", complete="sum", paper="arXiv:1610.02391")
def gradcam(e: Evidence):
    """mean_p(g) . A. Selvaraju et al. 2017, eq. 1-2. arXiv:1610.02391"""
    return weighted(ops.mean(e.gradients, axis=1), e.activations)


@method("gradcam++", needs="gradients", paper="arXiv:1710.11063")
def gradcam_plus_plus(e: Evidence):
    """sum_p(alpha relu(g)) . A with alpha = 1 / (2 + g sum_p A), free of the activations' scale.

    The published g^2 / (2 g^2 + g^3 sum A) with g^2 divided out, so that no epsilon decides.
    Chattopadhay et al. 2018, eq. 19. arXiv:1710.11063
    """
    positive = ops.relu(e.gradients)
    denominator = 2.0 + positive * ops.sum(e.activations, axis=1, keepdims=True)
    alpha = 1.0 / ops.where(denominator == 0, 1.0, denominator)
    return weighted(ops.sum(alpha * positive, axis=1), e.activations)


@method("hirescam", needs="gradients", complete="sum", paper="arXiv:2011.08891")
def hirescam(e: Evidence):
    """g . A: adds up to the score for every affine head. Draelos & Carin 2020. arXiv:2011.08891"""
    return weighted(e.gradients, e.activations)


@method("xgradcam", needs="gradients", complete="sum", paper="arXiv:2008.02312")
def xgradcam(e: Evidence):
    """(sum_p g A / sum_p A) . A. Fu et al. 2020, eq. 8. arXiv:2008.02312"""
    total = ops.sum(e.activations, axis=1)
    share = ops.sum(e.gradients * e.activations, axis=1)
    return weighted(share / ops.where(total == 0, 1.0, total), e.activations)


@method("layercam", needs="gradients", paper="doi:10.1109/TIP.2021.3089943")
def layercam(e: Evidence):
    """relu(g) . A. Jiang et al. 2021, eq. 6. doi:10.1109/TIP.2021.3089943"""
    return weighted(ops.relu(e.gradients), e.activations)


@method("shapleycam", needs="curvatures", paper="arXiv:2501.06261")
def shapleycam(e: Evidence):
    """mean_p(g - H A / 2) . A, H the Hessian: Grad-CAM with its second order. arXiv:2501.06261"""
    return weighted(ops.mean(e.gradients - 0.5 * e.curvatures, axis=1), e.activations)


@method("finercam", needs="gradients", target="rivals", paper="arXiv:2501.11309")
def finercam(e: Evidence):
    """Grad-CAM of the class's score minus the mean score of its three nearest rivals.

    Zhang et al. 2025, eq. 5. arXiv:2501.11309
    """
    return gradcam(e)


@method("eigencam", needs="activations", paper="arXiv:2008.00299")
def eigencam(e: Evidence):
    """Projection on the first principal direction of A. Muhammad & Yeasin 2020. arXiv:2008.00299"""
    return principal_projection(e.activations)


@method("eigengradcam", needs="gradients")
def eigengradcam(e: Evidence):
    """Projection on the first principal direction of g A: Eigen-CAM for a class."""
    return principal_projection(e.gradients * e.activations)


@method("scorecam", needs="masks", paper="arXiv:1910.01279")
def scorecam(e: Evidence):
    """softmax_k(score of the image under mask A_k) . A. Wang et al. 2020. arXiv:1910.01279"""
    return weighted(ops.softmax(e.masked_scores, axis=-1), e.activations)


@method("ablationcam", needs="ablations", paper="doi:10.1109/WACV45572.2020.9093360")
def ablationcam(e: Evidence):
    """((y - y without channel k) / |y|) . A. Desai & Ramaswamy 2020, eq. 3.

    The magnitude of y, since dividing by a negative score would invert the map.
    """
    y = e.score[:, None]
    return weighted((y - e.ablated_scores) / (ops.abs(y) + EPSILON), e.activations)


@method("saliency", needs="pixels", paper="arXiv:1312.6034")
def saliency(e: Evidence):
    """max_k |g| at the image. Simonyan et al. 2013, section 3.1. arXiv:1312.6034"""
    return ops.max(ops.abs(e.gradients), axis=-1)


@method("smoothgrad", needs="pixels", smooth="noise", paper="arXiv:1706.03825")
def smoothgrad(e: Evidence):
    """The mean of the saliency of noisy copies. Smilkov et al. 2017. arXiv:1706.03825"""
    return saliency(e)


@method("integrated-gradients", needs="path", complete="path", paper="arXiv:1703.01365")
def integrated_gradients(e: Evidence):
    """sum_k x g, g the mean gradient from an image of zeros to x. Sundararajan et al. 2017, eq. 1.

    arXiv:1703.01365
    """
    return weighted(e.gradients, e.activations)


@method("occlusion", needs="occlusions", paper="arXiv:1311.2901")
def occlusion(e: Evidence):
    """Decrease of the score when a window is zero; mean over the windows that cover a pixel.

    Zeiler & Fergus 2013, section 4.2. arXiv:1311.2901
    """
    lost = e.score[:, None] - e.masked_scores
    return ops.matmul(lost, e.masks) / ops.sum(e.masks, axis=0)


@method("rise", needs="random masks", paper="arXiv:1806.07421")
def rise(e: Evidence):
    """mean_m((y_m - mean y) m) / mean(m): correlation of the score with showing a pixel.

    Petsiuk et al. 2018, eq. 6, of scores minus their mean, so that a pixel is not brighter because
    it is shown more often. arXiv:1806.07421
    """
    centered = e.masked_scores - ops.mean(e.masked_scores, axis=1, keepdims=True)
    return ops.matmul(centered, e.masks) / ops.sum(e.masks, axis=0)


@method("rollout", needs="attention", paper="arXiv:2005.00928")
def rollout(e: Evidence):
    """The product over layers of (mean_h A + 1) / 2: how tokens mix, independent of the class.

    Abnar & Zuidema 2020, eq. 1. arXiv:2005.00928
    """
    relevance = e.readout[None]
    for attention in reversed(e.attentions):
        mixed = ops.einsum("bt,bts->bs", relevance + 0 * attention[:, 0, 0], ops.mean(attention, 1))
        relevance = (mixed + relevance) / 2
    return relevance


@method("attention-relevance", needs="attention", paper="arXiv:2103.15679")
def attention_relevance(e: Evidence):
    """The product over layers of 1 + mean_h relu(g A), minus 1 for the token itself.

    Chefer et al. 2021, eq. 5-6. arXiv:2103.15679
    """
    relevance = e.readout[None]
    pairs = zip(e.attentions, e.attention_gradients, strict=True)
    for attention, gradient in reversed(list(pairs)):
        along = ops.mean(ops.relu(gradient * attention), axis=1)
        relevance = relevance + ops.einsum("bt,bts->bs", relevance + 0 * along[:, 0], along)
    return relevance - e.readout


@method("attnlrp", needs="relevance", complete="relevance", paper="arXiv:2402.05602")
def attnlrp(e: Evidence):
    """g . A at the tokens before the first attention, g by the rules of relevance propagation.

    Achtibat et al. 2024, section 3. arXiv:2402.05602
    """
    return weighted(e.gradients, e.activations)


METHODS["fullgrad"] = Method(
    "fullgrad", None, "biases", complete="shares", paper="arXiv:1905.00780"
)


def principal_projection(matrices):
    """`(B, N, K) -> (B, N)`: rows, centered, on their first right singular vector.

    The sign, which is undefined for a singular vector, is the one that agrees with the sum over
    channels. An image whose matrix is not finite has a map of NaN; the others are unaffected.
    """
    finite = ops.all(ops.isfinite(matrices), axis=(1, 2), keepdims=True)
    matrices = ops.where(finite, matrices, 0.0)
    centered = matrices - ops.mean(matrices, axis=1, keepdims=True)
    turned = ops.swapaxes(centered, 1, 2)
    if matrices.shape[1] <= matrices.shape[2]:
        values, vectors = ops.eigh(ops.matmul(centered, turned))
        projection = vectors[..., -1] * ops.sqrt(ops.relu(values[..., -1:]))
    else:
        _, vectors = ops.eigh(ops.matmul(turned, centered))
        projection = ops.matmul(centered, vectors[..., -1:])[..., 0]
    agreement = ops.sum(projection * ops.sum(centered, axis=-1), axis=-1, keepdims=True)
    projection = projection * ops.where(agreement < 0, -1.0, 1.0)
    return ops.where(finite[..., 0], projection, np.nan)

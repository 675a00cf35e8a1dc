"""`SimilarityCAM`: what each position of two images contributes to their similarity."""

from functools import partial
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_metric.cam import rendering
from keras_metric.cam.network.cache import Cache
from keras_metric.cam.network.examples import check_fits, check_model, example_inputs, signature
from keras_metric.cam.network.gradients import compiled
from keras_metric.cam.plan import Plan, plan
from keras_metric.cam.similarity.shares import (
    SIMILARITIES,
    Measure,
    embedded,
    pair,
    pairs_of_positions,
    triplet,
)
from keras_metric.cam.targets.heads import LinearHead
from keras_metric.cam.targets.logits import look_through_unit_length

_HELD = 16


class SimilarityMaps(NamedTuple):
    """Shares of both images, `(B, h, w)` or in the image's size; each adds up to `similarity (B,)`.

    `exact` is False for a head that is not linear; then `similarity` minus the sum of the raw
    shares is the error of the integration.
    """

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray
    exact: bool


class TripletMaps(NamedTuple):
    """Why the anchor is nearer to the positive: `anchor` adds up to `gap (B,)`.

    gap: s(a, p) - s(a, n), or d(a, n) - d(a, p) for the squared distance; it should be above 0.
    positive, negative: shares of s(a, p) in the positive and of s(a, n) in the negative.
    """

    anchor: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    gap: np.ndarray
    exact: bool


class SimilarityCAM:
    """Exact maps of the similarity of two images' embeddings.

        cosine      share_i = u_i . e' / (N |e| |e'|)             sum = cos(e, e')
        dot         share_i = u_i . e' / N                        sum = e . e'
        squared_l2  share_i = (u_i - e') . (e - e') / N           sum = |e - e'|^2

    with u_i the vector of position i and e their mean, as global average pooling and any linear
    layers after it give them. A final scaling to unit length is skipped (|e| counts as
    constant). For other heads the shares are integrated gradients, and `exact` is False. Shares are
    signed. They take one matrix product; no tensor of pairs of positions is formed.

    Args:
        encoder: any Keras model `(B, H, W, C) -> (B, D)`.
        layer: the layer to map, or its name; by default the one that `CAM` selects.
        similarity: "cosine", "dot" or "squared_l2".
        output: which of several outputs is the embedding.
        steps: points of the integration for heads that are not linear.

    Raises:
        ValueError: unknown similarity, no layer to map, or batches of different size.

    Stylianou, Souvenir, Pless, "Visualizing Deep Similarity Networks", 2019. arXiv:1901.00536
    """

    def __init__(
        self,
        encoder: keras.Model,
        layer: str | keras.Layer | None = None,
        *,
        similarity: str = "cosine",
        output: int | str | None = None,
        steps: int = 16,
    ):
        if similarity not in SIMILARITIES or steps < 1:
            raise ValueError(
                f"Unknown similarity. Expected: one of {', '.join(SIMILARITIES)}; steps at least "
                f"1. Received: similarity={similarity!r}, steps={steps!r}."
            )
        check_model(encoder)
        self.encoder = encoder
        self.similarity = similarity
        self._layer, self._output, self._steps = layer, output, steps
        self._plans = Cache(_HELD)
        self._functions = Cache(_HELD)
        examples = example_inputs(encoder)
        if examples is not None:
            self._plan(examples)

    def __call__(self, a, b, *, raw: bool = False) -> SimilarityMaps:
        """Maps of two batches of images, pair by pair; `raw` gives the layer's resolution."""
        found, exact = self._run(pair, a, b, sized=not raw)
        return SimilarityMaps(*found, exact)

    def triplet(self, anchor, positive, negative, *, raw: bool = False) -> TripletMaps:
        """Maps of why the anchor is nearer to the positive than to the negative."""
        found, exact = self._run(triplet, anchor, positive, negative, sized=not raw)
        return TripletMaps(*found, exact)

    def points(self, a, b, *, at: tuple[int, ...] | None = None) -> np.ndarray:
        """The share of every pair of positions in the cosine or dot product.

        `(B, h, w, h', w')`, adding up to the similarity; with `at=(y, x)`, a pixel of `a`, only the
        part of the position under it, `(B, h', w')`.

        Raises:
            ValueError: the head is not linear, the similarity is the squared distance, or `at` lies
                outside the image.
        """
        tensors = [rendering.standard_inputs(x) for x in (a, b)]
        first, second = (self._plan(x)[0] for x in tensors)
        if self.similarity == "squared_l2" or not isinstance(first.head, LinearHead):
            reason = getattr(first.head, "reason", "the squared distance is no sum over pairs")
            raise ValueError(
                "No exact share of pairs of positions. Expected: cosine or dot behind a linear "
                f"head. Received: similarity={self.similarity!r}: {reason}."
            )
        here = None if at is None else _position(at, first)
        found, _ = self._run(partial(pairs_of_positions, at=here), a, b, key=("points", here))
        grids = [p.mapped.positions[0].grid for p in (first, second)]
        grids = grids if at is None else grids[1:]
        return found.reshape(len(found), *(length for grid in grids for length in grid))

    @property
    def layer_name(self) -> str:
        """The name of the mapped layer; known before the first call if the input shape is fixed."""
        built = self._plans.oldest()
        if built is None:
            raise ValueError(
                f"Encoder {self.encoder.name!r} has no fixed input shape. Expected: a call before "
                "its layer is asked for. Received: none yet."
            )
        return built[0].mapped.layer.name

    def _plan(self, inputs) -> tuple[Plan, bool]:
        """The plan, and whether a scaling to unit length was looked through."""

        def build():
            check_fits(self.encoder, inputs)
            found = plan(self.encoder, inputs, self._layer, self._output, look_through_unit_length)
            if len(found.mapped.positions) != 1:
                raise ValueError(
                    "An encoder embeds one image. Expected: a layer that runs once in a pass. "
                    f"Received: {found.mapped.layer.name!r}: {found.head.reason}."
                )
            return found, bool(found.patches)

        return self._plans.get(signature(inputs), build)

    def _run(self, function, *images, key=None, sized: bool = False):
        """`function(measure, *embedded)` on all images, compiled once for their shapes.

        `sized` brings its maps, one for each batch, to the size of the images.
        """
        tensors = [rendering.standard_inputs(x) for x in images]
        batches = [keras.tree.flatten(x)[0].shape[0] for x in tensors]
        if len(set(batches)) != 1:
            raise ValueError(
                "Images are compared one by one. Expected: batches of one length. "
                f"Received: lengths {batches}."
            )
        plans = [self._plan(x) for x in tensors]
        measure = Measure(self.similarity, plans[0][1], self._steps)
        whole = (key or function, sized, *(signature(x) for x in tensors))

        def all_of_it(*inputs):
            parts = [embedded(p, x) for (p, _), x in zip(plans, inputs, strict=True)]
            found = function(measure, *parts)
            if not sized:
                return found
            *maps, value = found
            return *(_spread(m, p) for m, (p, _) in zip(maps, plans, strict=True)), value

        run = self._functions.get(whole, lambda: compiled(all_of_it, self.encoder))
        found = run(*tensors)
        exact = all(isinstance(p.head, LinearHead) for p, _ in plans)
        return keras.tree.map_structure(ops.convert_to_numpy, found), exact


def _spread(shares, of: Plan):
    """A position's share spread over its pixels, so that sums stay what they are."""
    return rendering.resized(shares, of.sizes[0], rendering.spreading)


def _position(at: tuple[int, ...], of: Plan) -> int:
    """The number of the grid cell under a pixel."""
    size, grid = of.sizes[0], of.mapped.positions[0].grid
    inside = len(at) == len(size) and all(0 <= x < n for x, n in zip(at, size, strict=True))
    if not inside:
        raise ValueError(f"No such pixel. Expected: one inside {size}. Received: at={at}.")
    cell = [x * g // n for x, g, n in zip(at, grid, size, strict=True)]
    return int(np.ravel_multi_index(cell, grid))

"""Does a map point at the object? Maps `(B, H, W)`, not negative, against true boxes or masks."""

from collections.abc import Sequence

import numpy as np

from keras_metric.cam.scores.components import overlaps


class MaxBoxAcc:
    """Share of images whose box, drawn around the map above a threshold, matches a true box.

    The threshold is chosen on held-out images: call `choose` on them, then `score` on others. A box
    matches when its intersection over union is at least `iou`. It is drawn around the largest
    connected part (eight neighbours) of what is above `threshold x maximum`.

    Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", 2020.
    arXiv:2001.07437, eq. 3
    """

    ious: tuple[float, ...] = (0.5,)
    largest = True

    def __init__(self, *, steps: int = 1000):
        if steps < 1:
            raise ValueError(f"No thresholds. Expected: steps of at least 1. Received: {steps}.")
        self.candidates = np.arange(steps) / steps
        self.thresholds: tuple[float, ...] | None = None

    def curve(self, maps, boxes: Sequence) -> np.ndarray:
        """Accuracy `(T, number of ious)` at every candidate threshold."""
        best = self._best(maps, boxes, self.candidates)
        return np.stack([(best >= iou).mean(0) for iou in self.ious], axis=-1)

    def choose(self, maps, boxes: Sequence) -> "MaxBoxAcc":
        """Choose the best threshold on held-out images (one for each iou)."""
        best = self.curve(maps, boxes).argmax(0)
        self.thresholds = tuple(float(self.candidates[i]) for i in best)
        return self

    def score(self, maps, boxes: Sequence) -> float:
        """Accuracy at the chosen thresholds, the mean over ious.

        Raises:
            ValueError: no threshold was chosen, or maps and boxes do not match.
        """
        if self.thresholds is None:
            raise ValueError(
                "No threshold was chosen. Expected: choose(maps, boxes) on held-out images first. "
                "Received: score() alone."
            )
        ascending, place = np.unique(self.thresholds, return_inverse=True)
        best = self._best(maps, boxes, ascending)[:, place]
        return float(np.mean(best >= np.array(self.ious)))

    def _best(self, maps, boxes: Sequence, thresholds: np.ndarray) -> np.ndarray:
        """`(B, T)`: the best IoU of each map at each threshold, ascending."""
        return np.stack(
            [
                overlaps(heat, _boxes(true), thresholds, self.largest)
                for heat, true in zip(_checked(maps, boxes), boxes, strict=True)
            ]
        )


class MaxBoxAccV2(MaxBoxAcc):
    """MaxBoxAcc over IoUs of 0.3, 0.5 and 0.7; of all connected parts the best counts.

    Choe et al., "Evaluation for Weakly Supervised Object Localization", 2022. arXiv:2007.04178
    """

    ious = (0.3, 0.5, 0.7)
    largest = False


def pixel_average_precision(maps, masks, *, steps: int = 1000) -> float:
    """PxAP: the area under precision and recall of pixels over thresholds, all images pooled.

        sum over thresholds t of  precision(t) (recall(t) - recall(next higher t))

    Args:
        maps: `(B, H, W)` from 0 to 1.
        masks: `(B, H, W)` booleans.

    Choe et al. 2020, section 4. arXiv:2001.07437
    """
    maps, masks = np.asarray(maps, "float64"), np.asarray(masks, bool)
    if maps.shape != masks.shape or not masks.any():
        raise ValueError(
            "Nothing to find. Expected: masks of the maps' shape with at least one true pixel. "
            f"Received: maps {maps.shape}, masks {masks.shape}, {int(masks.sum())} true."
        )
    if maps.min() < 0 or maps.max() > 1:
        raise ValueError(
            f"Maps out of range. Expected: 0 to 1. Received: {maps.min():.4g} to {maps.max():.4g}."
        )
    bins = np.minimum((maps * steps).astype(int), steps)
    true = np.bincount(bins[masks], minlength=steps + 1)[::-1].cumsum()
    every = np.bincount(bins.ravel(), minlength=steps + 1)[::-1].cumsum()
    precision = true / np.maximum(every, 1)
    gained = np.diff(true, prepend=0) / masks.sum()
    return float((precision * gained).sum())


def pointing_game(maps, boxes: Sequence, *, tolerance: int = 15) -> float:
    """Share of images whose brightest pixel lies in a true box, or within `tolerance` pixels of it.

    Zhang et al., "Top-down Neural Attention by Excitation Backprop", 2016. arXiv:1608.00507
    """
    maps = _checked(maps, boxes)
    hits = []
    for heat, true in zip(maps, boxes, strict=True):
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        left, top, right, bottom = _boxes(true).T
        across = np.maximum(np.maximum(left - x, x - right + 1), 0)
        down = np.maximum(np.maximum(top - y, y - bottom + 1), 0)
        hits.append(bool((np.hypot(across, down) <= tolerance).any()))
    return float(np.mean(hits))


def energy_in_box(maps, boxes: Sequence) -> np.ndarray:
    """`(B,)` share of each map's total that lies inside its true boxes; 0 for an empty map.

    Wang et al., "Score-CAM", 2020, section 4.3. arXiv:1910.01279
    """
    maps = _checked(maps, boxes)
    shares = []
    for heat, true in zip(maps, boxes, strict=True):
        inside = np.zeros(heat.shape, bool)
        for left, top, right, bottom in np.round(_boxes(true)).astype(int):
            inside[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
        shares.append(heat[inside].sum() / max(heat.sum(), 1e-12))
    return np.array(shares)


def _checked(maps, boxes: Sequence) -> np.ndarray:
    maps = np.asarray(maps, "float64")
    if maps.ndim != 3 or len(maps) != len(boxes) or not len(maps) or maps.min() < 0:
        raise ValueError(
            "Maps and boxes do not match. Expected: maps (B, H, W), not negative, and boxes for "
            f"each of them. Received: maps {maps.shape} and {len(boxes)} lists of boxes."
        )
    return maps


def _boxes(true) -> np.ndarray:
    true = np.asarray(true, "float64").reshape(-1, 4)
    if not len(true) or (true[:, 2:] <= true[:, :2]).any():
        raise ValueError(
            "No true box. Expected: (n, 4) of left, top, right, bottom with right > left and "
            f"bottom > top. Received: {true.tolist()}."
        )
    return true

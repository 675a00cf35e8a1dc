"""Write values of pytorch-metric-learning's losses and distances, and the pairs of its miners.

Run it with the Python of that library's own environment, which one command makes:

    python benchmarks/peers/make.py pytorch-metric-learning
    PEER=~/.cache/keras-metric/peers/pytorch-metric-learning
    $PEER/bin/python tests/reference/make_pytorch_metric_learning.py

The same seed gives the same file. Every batch has as many images of each class, so that a mean over
pairs is the mean over anchors of means over their pairs; embeddings have length 1.
"""

import argparse
import inspect
import json
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from pytorch_metric_learning import __version__, distances, losses, miners, reducers

ROOMS = (
    *("losses", "miners", "distances", "reducers", "regularizers", "samplers", "testers"),
    *("trainers", "datasets", "utils.inference", "utils.accuracy_calculator"),
    *("utils.distributed", "utils.logging_presets"),
)
SHAPES = ((4, 3, 6), (6, 2, 8), (3, 5, 4))  # classes, images of each, dimensions
CLASSES = 6


def plain_mean():
    return reducers.MeanReducer()


LOSSES = {
    "PairwiseContrastiveLoss": lambda: losses.ContrastiveLoss(reducer=plain_mean()),
    "signal to noise": lambda: losses.SignalToNoiseRatioContrastiveLoss(
        neg_margin=2, reducer=plain_mean()
    ),
    "CircleLoss": lambda: losses.CircleLoss(m=0.4, gamma=16),
    "MultiSimilarityLoss": lambda: losses.MultiSimilarityLoss(),
    "LiftedStructureLoss": lambda: losses.LiftedStructureLoss(),
    "GeneralizedLiftedStructureLoss": lambda: losses.GeneralizedLiftedStructureLoss(),
    "InfoNCELoss": lambda: losses.NTXentLoss(temperature=0.1),
    "SupConLoss": lambda: losses.SupConLoss(temperature=0.1),
    "NCALoss": lambda: losses.NCALoss(softmax_scale=2),
    "AngularLoss": lambda: losses.AngularLoss(alpha=40),
    "TupletMarginLoss": lambda: losses.TupletMarginLoss(margin=5.73, scale=8),
    "FastAPLoss": lambda: losses.FastAPLoss(num_bins=10),
    "RankedListLoss": lambda: losses.RankedListLoss(margin=0.4, alpha=1.2, Tn=10, Tp=0),
    "TripletLoss hard": lambda: Mined(
        losses.TripletMarginLoss(margin=0.2, reducer=plain_mean()), miners.BatchHardMiner()
    ),
    "TripletLoss hard, soft": lambda: Mined(
        losses.TripletMarginLoss(margin=0, smooth_loss=True, reducer=plain_mean()),
        miners.BatchHardMiner(),
    ),
    "TripletLoss easy_positive": lambda: Mined(
        losses.TripletMarginLoss(margin=0.2, reducer=plain_mean()),
        miners.BatchEasyHardMiner("easy", "hard"),
    ),
}
HEADS = {
    "NormalizedSoftmax": lambda size: losses.NormalizedSoftmaxLoss(CLASSES, size, temperature=0.1),
    "CosFace": lambda size: losses.CosFaceLoss(CLASSES, size, margin=0.35, scale=8),
    "ArcFace": lambda size: losses.ArcFaceLoss(CLASSES, size, margin=28.6, scale=8),
    "SphereFace": lambda size: losses.SphereFaceLoss(CLASSES, size, margin=4, scale=8),
    "SubCenterArcFace": lambda size: losses.SubCenterArcFaceLoss(
        num_classes=CLASSES, embedding_size=size, margin=28.6, scale=8, sub_centers=2
    ),
    "SoftTriple": lambda size: losses.SoftTripleLoss(
        CLASSES, size, centers_per_class=2, la=8, gamma=0.1, margin=0.01
    ),
    "ProxyNCA": lambda size: losses.ProxyNCALoss(CLASSES, size, softmax_scale=4),
    "ProxyAnchor": lambda size: losses.ProxyAnchorLoss(CLASSES, size, margin=0.1, alpha=8),
}
MINERS = {
    "BatchHard": lambda: miners.BatchHardMiner(),
    "EasyHard": lambda: miners.BatchEasyHardMiner("easy", "hard"),
    "MultiSimilarity": lambda: miners.MultiSimilarityMiner(epsilon=0.1),
    "PairMargin": lambda: miners.PairMarginMiner(pos_margin=0.2, neg_margin=0.8),
    "SemiHard": lambda: miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard"),
    "Angular": lambda: miners.AngularMiner(angle=20),
}
DISTANCES = {
    "euclidean": lambda: distances.LpDistance(normalize_embeddings=False),
    "squared_euclidean": lambda: distances.LpDistance(normalize_embeddings=False, power=2),
    "manhattan": lambda: distances.LpDistance(normalize_embeddings=False, p=1),
    "cosine": lambda: distances.CosineSimilarity(),
    "negative_dot": lambda: distances.DotProductSimilarity(normalize_embeddings=False),
    "signal_to_noise": lambda: distances.SNRDistance(normalize_embeddings=False),
}


class Mined:
    def __init__(self, loss, miner):
        self.loss, self.miner = loss, miner

    def __call__(self, x, labels):
        return self.loss(x, labels, self.miner(x, labels))


def value(loss, x, labels) -> float:
    return loss(torch.tensor(x), torch.tensor(labels)).item()


def pairs_of(miner, x, labels):
    """(B, B) bool, twice: the positives and the negatives that the miner's output names."""
    found = miner(torch.tensor(x), torch.tensor(labels))
    both = found if len(found) == 4 else (found[0], found[1], found[0], found[2])
    masks = np.zeros((2, len(labels), len(labels)), bool)
    for mask, anchors, others in zip(masks, both[::2], both[1::2], strict=True):
        mask[anchors.numpy(), others.numpy()] = True
    return masks


def of_batch(rng, number, shape):
    classes, images, size = shape
    labels = rng.permutation(np.repeat(np.arange(classes), images))
    x = rng.normal(size=(labels.size, size))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    found = {"labels": labels, "x": x}
    for name, make in LOSSES.items():
        found[f"{name}/value"] = value(make(), x, labels)
    found["centers"] = rng.normal(size=(size, 2 * CLASSES))
    for name, make in HEADS.items():
        head = make(size).double()
        (weight,) = head.parameters()
        rows_are_classes = name.startswith("Proxy")
        centers = found["centers"][:, : weight.shape[0 if rows_are_classes else 1]]
        weight.data = torch.tensor(centers.T if rows_are_classes else centers)
        found[f"{name}/value"] = value(head, x, labels)
    other = torch.tensor(x + 0.3 * rng.normal(size=x.shape))
    found["views"] = np.stack([x, other.numpy()], axis=1)
    views = losses.VICRegLoss(eps=0)(torch.tensor(x), ref_emb=other)
    found["VICRegLoss/value"] = views.item()
    for name, make in MINERS.items():
        found[f"{name}/pairs"] = pairs_of(make(), x, labels)
    for name, make in DISTANCES.items():
        long = torch.tensor(3 * x)
        found[f"{name}/distances"] = make()(long, long).numpy()
    return {f"{number}/{key}": value for key, value in found.items()}


def public_classes():
    """The name of every class of the library that a user may meet."""
    for room in ROOMS:
        for name, thing in vars(import_module(f"pytorch_metric_learning.{room}")).items():
            if inspect.isclass(thing) and thing.__module__.startswith("pytorch_metric_learning"):
                yield name


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    out = Path(__file__).with_name("pytorch_metric_learning.npz")
    rng = np.random.default_rng(arguments.seed)
    found = {}
    for number, shape in enumerate(SHAPES):
        found.update(of_batch(rng, number, shape))
    about = {"pytorch-metric-learning": __version__, "seed": arguments.seed}
    about["classes"] = sorted(set(public_classes()))
    np.savez_compressed(out, about=json.dumps(about), **found)
    print(f"{len(found)} arrays in {out}")


if __name__ == "__main__":
    main()

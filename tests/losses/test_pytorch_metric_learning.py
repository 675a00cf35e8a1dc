"""What pytorch-metric-learning returns, where the migration page says that ours is the same."""

from pathlib import Path

import numpy as np
import pytest
from keras import ops

from keras_metric import distances, heads, losses, miners, pairs

FILE = Path(__file__).resolve().parent.parent / "reference" / "pytorch_metric_learning.npz"
BATCHES = 3
LOSSES = {
    "PairwiseContrastiveLoss": lambda: losses.PairwiseContrastiveLoss(margin=1.0, squared=False),
    "signal to noise": lambda: losses.PairwiseContrastiveLoss(
        margin=2.0, squared=False, distance="signal_to_noise"
    ),
    "CircleLoss": lambda: losses.CircleLoss(margin=0.4, gamma=16.0),
    "MultiSimilarityLoss": lambda: losses.MultiSimilarityLoss(),
    "LiftedStructureLoss": lambda: losses.LiftedStructureLoss(margin=1.0),
    "GeneralizedLiftedStructureLoss": lambda: losses.GeneralizedLiftedStructureLoss(margin=1.0),
    "InfoNCELoss": lambda: losses.InfoNCELoss(temperature=0.1),
    "SupConLoss": lambda: losses.SupConLoss(temperature=0.1),
    "NCALoss": lambda: losses.NCALoss(temperature=1 / 2),
    "AngularLoss": lambda: losses.AngularLoss(angle=40.0),
    "TupletMarginLoss": lambda: losses.TupletMarginLoss(slack=5.73, scale=8.0),
    "FastAPLoss": lambda: losses.FastAPLoss(bins=10),
    "RankedListLoss": lambda: losses.RankedListLoss(0.4, 1.2, temperature=10.0),
    "TripletLoss hard": lambda: losses.TripletLoss(0.2, mining="hard"),
    "TripletLoss hard, soft": lambda: losses.TripletLoss(mining="hard", soft=True),
    "TripletLoss easy_positive": lambda: losses.TripletLoss(0.2, mining="easy_positive"),
}
HEADS = {
    "NormalizedSoftmax": lambda: heads.NormalizedSoftmax(6, scale=1 / 0.1),
    "CosFace": lambda: heads.CosFace(6, margin=0.35, scale=8.0),
    "ArcFace": lambda: heads.ArcFace(6, margin=np.radians(28.6), scale=8.0),
    "SphereFace": lambda: heads.SphereFace(6, margin=4, scale=8.0),
    "SubCenterArcFace": lambda: heads.SubCenterArcFace(
        6, centers=2, margin=np.radians(28.6), scale=8.0
    ),
    "SoftTriple": lambda: heads.SoftTriple(
        6, centers=2, scale=8.0, gamma=0.1, margin=0.01, regularization=0.0
    ),
    "ProxyNCA": lambda: heads.ProxyNCA(6, scale=8.0, plus=True),
    "ProxyAnchor": lambda: heads.ProxyAnchor(6, margin=0.1, scale=8.0),
}
MINERS = {
    "BatchHard": lambda: miners.BatchHard(),
    "EasyHard": lambda: miners.EasyHard("easy", "hard"),
    "MultiSimilarity": lambda: miners.MultiSimilarity(0.1),
    "PairMargin": lambda: miners.PairMargin(0.2, 0.8),
    "SemiHard": lambda: miners.SemiHard(0.2),
    "Angular": lambda: miners.Angular(20.0),
}


@pytest.fixture(scope="module")
def reference():
    with np.load(FILE) as file:
        return dict(file)


@pytest.mark.parametrize("number", range(BATCHES))
@pytest.mark.parametrize("name", LOSSES)
def test_values_of_losses(name, number, reference):
    labels, x = reference[f"{number}/labels"], reference[f"{number}/x"]
    found = ops.convert_to_numpy(LOSSES[name]()(labels, x.astype("float32")))
    np.testing.assert_allclose(found, reference[f"{number}/{name}/value"], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("number", range(BATCHES))
@pytest.mark.parametrize("name", HEADS)
def test_values_of_heads(name, number, reference):
    labels, x = reference[f"{number}/labels"], reference[f"{number}/x"]
    head = HEADS[name]()
    head.build((None, x.shape[1]))
    head.set_weights([reference[f"{number}/centers"].T[: head.classes * head.centers]])
    found = ops.convert_to_numpy(head.loss()(labels, head(x.astype("float32"))))
    np.testing.assert_allclose(found, reference[f"{number}/{name}/value"], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("number", range(BATCHES))
def test_values_of_two_views(number, reference):
    views = reference[f"{number}/views"].astype("float32")
    found = losses.VICRegLoss(variance=12.5)(np.zeros(len(views)), views)
    expected = reference[f"{number}/VICRegLoss/value"]
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=2e-4)


@pytest.mark.parametrize("number", range(BATCHES))
@pytest.mark.parametrize("name", MINERS)
def test_pairs_of_miners(name, number, reference):
    labels, x = reference[f"{number}/labels"], reference[f"{number}/x"].astype("float32")
    distance = "cosine" if name == "MultiSimilarity" else "euclidean"
    every = pairs.from_labels(distances.get(distance)(x, x), labels)
    miner = MINERS[name]()
    if getattr(miner, "looks_beyond_row", False):
        fixed = ops.convert_to_tensor(x)
        kept = miner(every, lambda c: distances.euclidean(ops.take(fixed, c, axis=0), fixed))
    else:
        kept = miner(every)
    found = np.stack([ops.convert_to_numpy(kept.positives), ops.convert_to_numpy(kept.negatives)])
    np.testing.assert_array_equal(found, reference[f"{number}/{name}/pairs"])


@pytest.mark.parametrize("name", ["euclidean", "squared_euclidean", "manhattan", "signal_to_noise"])
def test_distances(name, reference):
    x = 3 * reference["0/x"].astype("float32")
    found = ops.convert_to_numpy(distances.get(name)(x, x))
    np.testing.assert_allclose(found, reference[f"0/{name}/distances"], rtol=1e-4, atol=2e-3)


def test_similarities_are_distances_here(reference):
    x = 3 * reference["0/x"].astype("float32")
    cosine = ops.convert_to_numpy(distances.cosine(x, x))
    np.testing.assert_allclose(1 - cosine, reference["0/cosine/distances"], atol=1e-5)
    product = ops.convert_to_numpy(distances.negative_dot(x, x))
    np.testing.assert_allclose(-product, reference["0/negative_dot/distances"], atol=1e-4)

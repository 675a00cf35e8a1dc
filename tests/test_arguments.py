"""What a constructor is given is checked there, by one mechanism, and named in three parts."""

import inspect

import keras
import numpy as np
import pytest

from keras_metric import diagnostics, distances, heads, losses, memory, metrics, miners, models
from keras_metric.arguments import number, whole

ROOMS = {"losses": losses, "miners": miners, "heads": heads, "diagnostics": diagnostics}
NUMBERS = [
    (room, name, argument.name)
    for room, module in ROOMS.items()
    for name in module.__all__
    if isinstance(getattr(module, name), type)
    for argument in inspect.signature(getattr(module, name)).parameters.values()
    if type(argument.default) in (int, float)
]
OUTSIDE = [
    (losses.TripletLoss, {"margin": -0.1}),
    (losses.TripletMarginLoss, {"margin": -1}),
    (losses.ContrastiveLoss, {"margin": float("inf")}),
    (losses.PairwiseContrastiveLoss, {"positive_margin": -0.1}),
    (losses.RankedListLoss, {"balance": 1.1}),
    (losses.InfoNCELoss, {"temperature": 0}),
    (losses.InfoNCELoss, {"rows_per_block": 0}),
    (losses.InfoNCELoss, {"rows_per_block": 2.5}),
    (losses.FastAPLoss, {"bins": 0}),
    (losses.AngularLoss, {"angle": 60.1}),
    (losses.BarlowTwinsLoss, {"redundancy": -1e-3}),
    (miners.SemiHard, {"margin": -0.2}),
    (miners.UniformHistogram, {"levels": 0}),
    (miners.DistanceWeighted, {"farthest": 0.4}),
    (heads.ArcFace, {"classes": 3, "margin": 3.2}),
    (heads.CosFace, {"classes": 3, "margin": -0.1}),
    (heads.CosFace, {"classes": 3, "scale": 0.0}),
    (heads.SubCenterArcFace, {"classes": 3, "centers": 0}),
    (heads.SoftTriple, {"classes": 3, "gamma": 0.0}),
    (diagnostics.ActiveTriplets, {"margin": -1.0}),
]


@pytest.mark.parametrize(("room", "name", "argument"), NUMBERS)
def test_every_number_is_checked(room, name, argument):
    """A new leaf is tested as soon as it has a number among its arguments."""
    classes = {"classes": 3} if room == "heads" else {}
    for value in (float("nan"), "0.5", True):
        with pytest.raises(ValueError, match=rf"{argument}.*Expected.*Received: {argument}="):
            getattr(ROOMS[room], name)(**classes, **{argument: value})


@pytest.mark.parametrize(
    ("cls", "values"), OUTSIDE, ids=[f"{c.__name__}-{list(v)[-1]}" for c, v in OUTSIDE]
)
def test_out_of_range_is_refused(cls, values):
    name, value = list(values.items())[-1]
    with pytest.raises(ValueError, match=rf"{name}.*Expected.*Received: {name}={value}"):
        cls(**values)


def test_a_negative_margin_of_distances_that_may_be_negative():
    loss = losses.PairwiseContrastiveLoss(-0.5, -0.9, distance="negative_dot")
    assert (loss.margin, loss.positive_margin) == (-0.5, -0.9)


def test_numbers_of_numpy_are_kept_as_python_numbers():
    loss = losses.TripletLoss(np.float32(0.5), rows_per_block=np.int64(4))
    assert type(loss.get_config()["margin"]) is float
    assert type(loss.get_config()["rows_per_block"]) is int


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({}, "Expected: a finite number. Received: x=nan"),
        ({"least": 0, "most": 60}, "Expected: a finite number from 0 to 60. Received"),
        ({"above": 0.5, "below": 1}, "Expected: a finite number above 0.5 below 1. Received"),
    ],
)
def test_the_bounds_are_named(bounds, words):
    with pytest.raises(ValueError, match=words):
        number("x", float("nan"), **bounds)


def test_bounds_are_met():
    assert number("x", 0, least=0) == number("x", -0.0, most=0) == 0
    assert whole("x", np.int32(2), least=2) == 2
    for bounds in ({"above": 0}, {"below": 0}, {"least": 1}, {"most": -1}):
        with pytest.raises(ValueError, match="Received: x=0"):
            number("x", 0, **bounds)
    with pytest.raises(ValueError, match="from 2 on. Received: x=1"):
        whole("x", 1, least=2)


@pytest.mark.parametrize("name", distances.names())
def test_a_distance_of_ours_is_saved_by_its_name(name):
    config = losses.TripletLoss(distance=distances.get(name)).get_config()
    assert config["distance"] == name


def _encoder():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])


FIXED = [
    (losses.TripletLoss(), "mining", "all"),
    (losses.TripletLoss(), "distance", "cosine"),
    (losses.SupConLoss(), "miner", "batch_hard"),
    (losses.ContrastiveLoss(), "margin", 0.5),
    (losses.VICRegLoss(), "reduction", "sum"),
    (heads.ArcFace(5), "margin", 0.1),
    (heads.ArcFace(5).loss(), "scale", 3.0),
    (miners.SemiHard(), "margin", 0.1),
    (diagnostics.ActiveTriplets(), "margin", 0.1),
    (metrics.RecallAtK(3), "k", 5),
    (metrics.TARAtFAR(0.1), "far", 0.2),
    (models.CrossBranchLoss(losses.TripletLoss()), "both_ways", True),
    (memory.CrossBatchMemory(_encoder(), 8), "size", 16),
    (memory.PartialFC(_encoder(), heads.ArcFace(9), 4), "classes_per_step", 6),
]


@pytest.mark.parametrize(("built", "name", "value"), FIXED)
def test_an_argument_set_after_construction_is_refused_with_the_way_that_works(built, name, value):
    before = built.get_config()
    with pytest.raises(AttributeError, match=rf"{name} is fixed.*from_config.*Received: {name}="):
        setattr(built, name, value)
    assert built.get_config() == before
    again = type(built).from_config({**before, name: value})
    assert getattr(again, name) == value

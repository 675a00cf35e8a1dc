"""The gallery of a run without an index: the training and validation pictures of its recipe."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_metric import distances
from keras_metric.retrieval import Calibration, Index, calibrate_pairs
from zoo.datasets.augmentation.warp import as_they_come
from zoo.datasets.images import Images
from zoo.demo.gallery import COLUMNS, ROWS, SAMPLES, Gallery, Titled, no_record, sheet
from zoo.demo.picture import Picture
from zoo.inference.bulk.networks import Network
from zoo.inference.searching import Searcher
from zoo.progress import shown
from zoo.recipe import get
from zoo.runs.runs import Run
from zoo.runs.searchable import calibration_of

MOST = 4000  # pictures to find, drawn by seed 0
WATCHED = 1000  # of them, those that choose the threshold
BATCH = 64
KNOWN = 6  # samples of classes in the gallery; the others are of classes it lacks
STRANGERS = 0.05


class Named(NamedTuple):
    """Pictures `(N, H, W, C)` and the names of their classes `(N,)`."""

    images: np.ndarray
    names: np.ndarray

    def at(self, rows: np.ndarray) -> "Named":
        return Named(self.images[rows], self.names[rows])


def of_run(
    run: Run,
    network: Network,
    threshold: float | None,
    data: str | None,
    named: str | Path | None = None,
) -> Gallery:
    """Embed the training and validation pictures of a run's recipe; a few are held out as samples.

    Classes that the recipe created by rotation are excluded. Without a calibration next to the
    model the threshold is the one at which the share `STRANGERS` of the validation pictures still
    has a match after their own class is removed.

    Args:
        run: what was trained.
        network: its model.
        threshold: replaces the calibrated one.
        data: the folder of the real data sets.
        named: what a trained model is called, whose calibration is not in the folder of the run.

    Raises:
        FileNotFoundError: not the folder of a finished run.
        ValueError: the recipe's data are not single pictures of the network's input size.
    """
    report = run.report()
    recipe = get(report["recipe"])
    split = recipe.data(recipe.resolve_settings(report["settings"]), data)
    learnt, watched = (_named(part, network, recipe.name) for part in split[:2])
    held = _one_of_each(watched, KNOWN)
    rest = watched.at(np.setdiff1d(np.arange(len(watched.names)), held))
    gallery = Named(*(np.concatenate(parts) for parts in zip(rest, learnt, strict=True)))
    kept = np.sort(np.random.default_rng(0).permutation(len(gallery.names))[:MOST])
    queries = np.flatnonzero(kept < len(rest.names))[:WATCHED]
    gallery = gallery.at(kept)
    embeddings = _embedded(network, gallery.images)
    index = Index(distance=network.distance)
    index.add(embeddings, gallery.names.tolist(), model=network.fingerprint)
    found, chosen = _threshold(named or run.folder, network, embeddings, gallery.names, queries)
    index.calibration = found

    def record(number: int) -> Picture:
        if number >= len(gallery.images):
            raise no_record(number)
        return Picture.of(gallery.images[number])

    searcher = Searcher(network, index, threshold)
    origin = chosen if threshold is None else "given by --threshold"
    strangers = _strangers(split.test, gallery.names)
    samples = [(name, Picture.of(x)) for x, name in zip(*watched.at(held), strict=True)]
    return Gallery(
        searcher,
        f"{len(index):,} pictures that {recipe.name} learns from and watches",
        origin + _mistaken(searcher, strangers),
        record,
        [*samples, *_offered(strangers, SAMPLES - len(samples))],
        _scenes(split.test, rest, watched.names[held]),
    )


def _named(part: Any, network: Network, recipe: str) -> Named:
    """The pictures of a part of a split, which may be in several sets."""
    sets = part if isinstance(part, tuple) else (part,)
    wrong = [x for x in sets if not isinstance(x, Images) or x.shape != network.shape]
    if wrong or not sets:
        size = " x ".join(map(str, network.shape))
        raise ValueError(
            f"The data of {recipe} cannot be searched. Expected: single pictures of {size}, or "
            f"--index with an index of pictures. Received: {wrong[0]!r}."
        )
    plain = [as_they_come(x) for x in sets]
    names = [np.array(x.names, object)[x.labels] for x in plain]
    return Named(np.concatenate([x.images for x in plain]), np.concatenate(names))


def _one_of_each(pictures: Named, most: int) -> np.ndarray:
    """Rows of pictures of different classes, drawn by seed 0."""
    order = np.random.default_rng(0).permutation(len(pictures.names))
    _, first = np.unique(pictures.names[order].astype(str), return_index=True)
    chosen = order[np.sort(first)[:most]]
    return chosen[np.argsort(pictures.names[chosen].astype(str))]


def _embedded(network: Network, images: np.ndarray) -> np.ndarray:
    parts = range(0, len(images), BATCH)
    return np.concatenate([network(images[at : at + BATCH]) for at in shown(parts, "embedding")])


def _threshold(
    model: str | Path, network: Network, *searches: np.ndarray
) -> tuple[Calibration | None, str]:
    """The calibration next to the model, else that of the searches, and its origin in words."""
    found = calibration_of(model, network.fingerprint, network.distance)
    if found is not None:
        return found, "beside the model"
    found = _calibrated(*searches, network)
    if found is None:
        return None, "too few validation pictures to find one"
    return (
        found,
        f"with their class taken away, {STRANGERS:.0%} of validation pictures still find one",
    )


def _calibrated(
    embeddings: np.ndarray, names: np.ndarray, queries: np.ndarray, network: Network
) -> Calibration | None:
    """The threshold of searches; None where there are too few of them.

    Each query is searched twice among all others: those of its class, and those of other classes.
    """
    between = distances.get(network.distance)(embeddings[queries], embeddings)
    between = np.array(ops.convert_to_numpy(between))
    between[np.arange(len(queries)), queries] = np.inf
    same = names[queries][:, None] == names
    own, others = (np.where(mask, between, np.inf).min(axis=1) for mask in (same, ~same))
    own, others = own[np.isfinite(own)], others[np.isfinite(others)]
    try:
        return calibrate_pairs(
            np.concatenate([own, others]),
            np.concatenate([np.ones(len(own)), np.zeros(len(others))]),
            far=STRANGERS,
            distance=network.distance,
            model=network.fingerprint,
        )
    except ValueError:
        return None


def _strangers(test: Any, known: np.ndarray) -> Named | None:
    """Test pictures of classes that are not in the gallery, at most `WATCHED`, if there are any."""
    test = getattr(test, "exemplars", test)
    if not isinstance(test, Images):
        return None
    names = np.array(test.names, object)[test.labels]
    rows = np.random.default_rng(0).permutation(np.flatnonzero(~np.isin(names, known)))[:WATCHED]
    return Named(test.images[rows], names[rows]) if len(rows) else None


def _offered(strangers: Named | None, most: int) -> list[Titled]:
    if strangers is None:
        return []
    pictures = strangers.at(_one_of_each(strangers, most))
    return [(f"{name}, unknown", Picture.of(x)) for x, name in zip(*pictures, strict=True)]


def _mistaken(searcher: Searcher, strangers: Named | None) -> str:
    """How many pictures of classes that are not searched still have a match."""
    if strangers is None or searcher.threshold is None:
        return ""
    parts = [strangers.images[at : at + BATCH] for at in range(0, len(strangers.images), BATCH)]
    found = [one for part in parts for one in searcher.answers(range(len(part)), part, 1)]
    share = np.mean([one.label is not None for one in found])
    return f"; of {len(found)} test pictures of unknown classes {share:.0%} do"


def _scenes(test: Any, pictures: Named, wanted: np.ndarray) -> list[Titled]:
    """Scenes of the recipe if it has any, else pictures side by side, of `wanted` classes."""
    scenes = getattr(test, "scenes", None)
    if scenes is not None:
        return [(f"scene {n}", Picture.of(scenes[n].image)) for n in range(min(3, len(scenes)))]
    order = np.random.default_rng(1).permutation(np.flatnonzero(np.isin(pictures.names, wanted)))
    images = list(pictures.images[order[: COLUMNS * ROWS]])
    return [("validation pictures", sheet(images))] if images else []

"""What a run on photographs is worth, beside what costs no training: pixels, the frozen backbone,
the frozen backbone with LDA; by class with intervals, and in words where training was in vain."""

import numpy as np

from keras_metric import metrics
from keras_metric.retrieval import Index
from zoo.evaluation.vectors import Vectors, lda, results_of, vote
from zoo.photographs.embedding import Embedded, embedded, frozen, pixels
from zoo.photographs.learning import few
from zoo.photographs.photos import Photos
from zoo.training.experiments import Measured, Results

COMPARED = ("recall@1", "map@r")  # of which one must be better than that of every baseline
MOST_LEARNT_FROM = 20_000  # photographs that baselines learn from, and that vote
SHOWN_CLASSES = 30
FROZEN, LDA, PIXELS = "frozen backbone", "frozen backbone + LDA", "raw pixels"


def vectors_of(found: Embedded, photos: Photos) -> Vectors:
    return Vectors(found.embeddings, np.array(photos.names, object)[photos.labels[found.rows]])


def measure(settings, encoder, split) -> Measured:
    known = few(split.train, MOST_LEARNT_FROM)
    of_model = [vectors_of(embedded(encoder, p), p) for p in (known, split.test)]
    results = results_of(*of_model)
    baselines = baselines_of(settings, known, split.test)
    tables = {
        "Intervals (95 %)": intervals(of_model[1]),
        **by_class(*of_model),
        **by_category(of_model[1], split.test),
    }
    notes = [*_vain(results, baselines), *_remarks(split)]
    return Measured(results, baselines, tables, tuple(notes))


def baselines_of(settings, known: Photos, asked: Photos) -> dict[str, Results]:
    """What the same photographs give without training."""
    raw = [vectors_of(pixels(photos), photos) for photos in (known, asked)]
    found = {PIXELS: results_of(*raw)}
    vectors = {} if settings["weights"] == "none" else frozen_vectors(settings, known, asked)
    return {**found, **{name: results_of(*pair) for name, pair in vectors.items()}}


def frozen_vectors(settings, known: Photos, asked: Photos) -> dict[str, tuple[Vectors, Vectors]]:
    """Both parts by the frozen backbone, as it is and with LDA; none without ImageNet weights."""
    backbone = frozen(settings["backbone"], asked.shape)
    if backbone is None:
        return {}
    before, after = (vectors_of(embedded(backbone, photos), photos) for photos in (known, asked))
    found = {FROZEN: (before.of_unit_length(), after.of_unit_length())}
    projected = lda(before, after)
    return found if projected is None else {**found, LDA: projected}


def nearest(asked: Vectors) -> tuple[np.ndarray, np.ndarray]:
    """Of each vector the row of its nearest other one, and the distance."""
    index = Index(distance="euclidean")
    index.add(asked.vectors)
    found = index.search(asked.vectors, min(2, len(asked.names)))
    own = found.ids == np.arange(len(asked.names))[:, None]
    own[~own.any(axis=1), -1] = True
    return found.ids[~own], found.distances[~own]


def _hits(asked: Vectors) -> np.ndarray:
    """Whether the nearest other photograph is of the same class; NaN where a class has no other."""
    rows, _ = nearest(asked)
    hits = (asked.names[rows] == asked.names).astype(float)
    hits[np.bincount(asked.labels)[asked.labels] == 1] = np.nan
    return hits


def intervals(asked: Vectors) -> dict[str, Results]:
    """recall@1 of all photographs, and of the mean class, as other classes would give it."""
    hits, labels = _hits(asked), asked.labels
    low, high = metrics.bootstrap_mean(hits, labels)
    again = metrics.bootstrap_mean(hits, np.arange(len(hits)))
    mean = float(np.nanmean(hits))
    return {
        "recall@1, other classes of the kind": {"value": mean, "low": low, "high": high},
        "recall@1, other photographs of these classes": {
            "value": mean,
            "low": again[0],
            "high": again[1],
        },
    }


def by_class(known: Vectors, asked: Vectors) -> dict[str, dict[str, Results]]:
    """A table of the classes asked for, the weakest first, with intervals of recall@1."""
    hits = _hits(asked)
    voted = vote(known, asked) == asked.names if set(asked.names) <= set(known.names) else None
    rows = {}
    for name in sorted(set(asked.names)):
        mine = (asked.names == name) & ~np.isnan(hits)
        row = {"photographs": int((asked.names == name).sum())}
        if mine.any():
            low, high = wilson(int(hits[mine].sum()), int(mine.sum()))
            row |= {"recall@1": float(hits[mine].mean()), "low": low, "high": high}
        if voted is not None:
            row["accuracy"] = float(voted[asked.names == name].mean())
        rows[name] = row
    order = sorted(rows, key=lambda name: (rows[name].get("recall@1", 2.0), name))
    title = "By class, the weakest first"
    if len(order) > SHOWN_CLASSES:
        title = f"The {SHOWN_CLASSES} weakest of {len(order)} classes"
    return {title: {name: rows[name] for name in order[:SHOWN_CLASSES]}}


def by_category(asked: Vectors, photos: Photos) -> dict[str, dict[str, Results]]:
    """A table of the categories of the classes, the weakest first; none without categories.

    The intervals are for other classes of the category.
    """
    if photos.categories is None:
        return {}
    category_of = dict(zip(photos.names, photos.categories, strict=True))
    mine = np.array([category_of[name] or "(none)" for name in asked.names], object)
    hits, (rows, _) = _hits(asked), nearest(asked)
    table = {}
    for category in sorted(set(mine)):
        chosen = mine == category
        row = {
            "photographs": int(chosen.sum()),
            "classes": len(set(asked.names[chosen])),
            "nearest of the category": float((mine[rows] == mine)[chosen].mean()),
        }
        if not np.isnan(hits[chosen]).all():
            low, high = metrics.bootstrap_mean(hits[chosen], asked.labels[chosen])
            row |= {"recall@1": float(np.nanmean(hits[chosen])), "low": low, "high": high}
        table[category] = row
    order = sorted(table, key=lambda name: (table[name].get("recall@1", 2.0), name))
    return {"By category, the weakest first": {name: table[name] for name in order}}


def wilson(right: int, asked: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share `right` of `asked`. Wilson 1927, the score interval."""
    share, spread = right / asked, z * z / asked
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * np.sqrt(share * (1 - share) / asked + spread / (4 * asked))
    return round(max(0.0, middle - half), 6), round(min(1.0, middle + half), 6)


def _vain(results: Results, baselines: dict[str, Results]) -> list[str]:
    """A sentence for each baseline that training does not beat in both measures."""
    return [
        f"Warning: training does not beat the {name}: "
        + ", ".join(f"{key} {results[key]:.4f} against {values[key]:.4f}" for key in COMPARED)
        + ". Use that instead, or train longer, on more photographs, or with another loss."
        for name, values in baselines.items()
        if any(values[key] >= results[key] for key in COMPARED)
    ]


def _remarks(split) -> list[str]:
    notes = []
    if split.test is split.validation:
        notes.append(
            "The epoch was chosen on the photographs measured on: the results are too good."
        )
    alone = int((np.bincount(split.test.labels) == 1).sum())
    if alone:
        notes.append(f"{alone:,} classes measured on have one photograph: it has nothing to find.")
    broken = split.train.images.broken
    if broken:
        notes.append(
            f"{len(broken):,} photographs cannot be decoded, such as {next(iter(broken))}."
        )
    return notes

"""The pictures of a run on photographs: best and worst, what is taken for what, all in a plane."""

import numpy as np

from keras_metric import distances, image_files, plots
from zoo.evaluation.vectors import Vectors
from zoo.photographs.embedding import embedded
from zoo.photographs.measuring import nearest, vectors_of
from zoo.photographs.photos import Photos
from zoo.reports import embedding_pictures
from zoo.training.experiments import Picture

SIDE, ROWS, NEIGHBOURS = 96, 8, 8
MOST_CONFUSED = 15
WORST = "Worst: the fewest neighbors of their class, the nearest mistakes first."
BEST = "Best: the most neighbors of their class, the nearest first."


def pictures(settings, encoder, split) -> dict[str, Picture]:
    found = embedded(encoder, split.test)
    shown = embedding_pictures.SHOWN
    if len(found.rows) > shown:
        chosen = np.sort(np.random.default_rng(0).permutation(len(found.rows))[:shown])
    else:
        chosen = np.arange(len(found.rows))
    photos = split.test.where(found.rows[chosen])
    points = found.embeddings[chosen]
    between = np.array(distances.euclidean(points, points))
    same = photos.labels[:, None] == photos.labels
    above = np.triu(np.ones_like(same), 1)
    drawn = {**_galleries(photos, between, same)}
    asked = vectors_of(found, split.test)
    drawn["confusion.png"] = Picture(
        confusion(asked), "Which class the nearest other photograph has, of the classes that are "
        "mistaken most often; a row adds up to 1."
    )  # fmt: skip
    drawn["projection.png"] = Picture(
        plots.projection(embedding_pictures.plane(points), photos.labels, names=photos.names),
        "The embeddings, projected to a plane.",
    )
    if (same & above).any() and (~same & above).any():
        drawn["distances.png"] = Picture(
            plots.distance_histograms(between[same & above], between[~same & above]),
            "Distances of photographs of the same class and of different classes.",
        )
    return drawn


def _galleries(photos: Photos, between: np.ndarray, same: np.ndarray) -> dict[str, Picture]:
    apart = between.copy()
    np.fill_diagonal(apart, np.inf)
    k = min(NEIGHBOURS, len(photos) - 1)
    order = np.argsort(apart, axis=1)[:, :k]
    hits = np.take_along_axis(same, order, axis=1)
    near = np.take_along_axis(apart, order, axis=1)
    asked = same.sum(axis=1) > 1
    share = hits.mean(axis=1)
    best = np.lexsort((near.mean(axis=1), -share))
    worst = np.lexsort((near[:, 0], share))
    drawn = {}
    for name, chosen, caption in (
        ("worst.png", worst, WORST),
        ("best.png", best, BEST),
    ):
        rows = [row for row in chosen if asked[row]][:ROWS]
        if rows:
            drawn[name] = Picture(_gallery(photos, np.array(rows), order, hits), caption)
    return drawn


def _gallery(photos: Photos, rows: np.ndarray, order: np.ndarray, hits: np.ndarray):
    return plots.gallery(
        np.stack([thumbnail(photos, row) for row in rows]),
        np.stack([[thumbnail(photos, near) for near in order[row]] for row in rows]),
        hits[rows],
        captions=[photos.names[photos.labels[row]] for row in rows],
    )


def thumbnail(photos: Photos, row: int) -> np.ndarray:
    return image_files.read(photos.paths[int(row)], (SIDE, SIDE), resize="letterbox", fill=255)


def confusion(asked: Vectors):
    """The matrix of a class and of that of the nearest other photograph, as shares of a row."""
    rows, _ = nearest(asked)
    names, labels = np.unique(asked.names.astype(str), return_inverse=True)
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (labels, labels[rows]), 1)
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-(wrong.sum(0) + wrong.sum(1)), kind="stable")[:MOST_CONFUSED]
    order = np.sort(order)
    shares = counts[np.ix_(order, order)] / np.maximum(counts[order].sum(1, keepdims=True), 1)
    figure = plots.figure(2.5 + 0.42 * len(order), 2 + 0.42 * len(order))
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(shares >= 0.005):
        value = shares[row, column]
        color = "white" if value > 0.5 else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
    ticks = [names[label] for label in order]
    axes.set_xticks(range(len(order)), ticks, rotation=90, fontsize=8)
    axes.set_yticks(range(len(order)), ticks, fontsize=8)
    axes.set(xlabel="class of the nearest other photograph", ylabel="class")
    return figure

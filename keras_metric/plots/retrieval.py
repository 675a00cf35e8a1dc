"""Pictures of an embedding: nearest neighbors, projection, distances, training curves."""

from collections.abc import Mapping, Sequence

import numpy as np

from keras_metric.plots.figures import Figure, figure, shown

HIT, MISS, NEUTRAL = "#2a9d3a", "#d62728", "#8c8c8c"


GALLERY = "nearest neighbours: green is the query's class, red another"


def gallery(
    queries, neighbours, hits, *, captions: Sequence[str] | None = None, title: str = GALLERY
) -> Figure:
    """A row for each query: the query, then its neighbors, nearest first, framed as hits or misses.

    Args:
        queries: images `(Q, H, W, C)`, uint8 or floats of 0..1.
        neighbours: images `(Q, K, H, W, C)`.
        hits: `(Q, K)`, True (green) where query and neighbor are of one class, False (red) where
            they are not, None (gray) where it is unknown.
        captions: a text for each query.
        title: title of the picture.

    Raises:
        ValueError: the three do not have the same Q and K.
    """
    queries, neighbours, hits = (np.asarray(x) for x in (queries, neighbours, hits))
    if neighbours.shape[:2] != hits.shape or len(queries) != len(hits):
        raise ValueError(
            "The gallery's parts do not fit. Expected: queries (Q, H, W, C), neighbours "
            f"(Q, K, H, W, C), hits (Q, K). Received: {queries.shape}, {neighbours.shape}, "
            f"{hits.shape}."
        )
    rows, columns = hits.shape
    drawn = figure(1.1 * (columns + 1.3), 1.15 * rows + 0.5)
    axes = drawn.subplots(
        rows, columns + 1, squeeze=False, gridspec_kw={"width_ratios": [1.25] + [1] * columns}
    )
    for row in range(rows):
        _framed(axes[row, 0], queries[row], "black", 1)
        if captions is not None:
            axes[row, 0].set_ylabel(captions[row], rotation=0, ha="right", va="center", fontsize=9)
        for column in range(columns):
            hit = hits[row, column]
            color = NEUTRAL if hit is None else HIT if hit else MISS
            _framed(axes[row, column + 1], neighbours[row, column], color, 3)
    axes[0, 0].set_title("query", fontsize=9)
    for column in range(columns):
        axes[0, column + 1].set_title(f"{column + 1}", fontsize=9)
    drawn.suptitle(title, fontsize=10)
    return drawn


def projection(points, labels, *, names: Sequence[str] | None = None) -> Figure:
    """Points `(N, 2)` in the color of their class `(N,)`; the legend shows `names[label]`."""
    points, labels = np.asarray(points), np.asarray(labels)
    classes = np.unique(labels)
    drawn = figure(7, 6)
    axes = drawn.subplots()
    for color, label in enumerate(classes):
        mine = labels == label
        text = str(label) if names is None else names[label]
        style = {"color": f"C{color % 10}", "marker": "os^vDP*X"[color // 10 % 8]}
        axes.scatter(*points[mine].T, s=14, alpha=0.75, linewidths=0, label=text, **style)
    axes.set(xticks=[], yticks=[], title=f"{len(points):,} embeddings of {len(classes)} classes")
    if len(classes) <= 30:
        axes.legend(markerscale=1.6, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return drawn


def distance_histograms(same, different, *, threshold: float | None = None) -> Figure:
    """Distances of pairs of one class `(S,)` and of two classes `(D,)`, as densities."""
    same, different = np.ravel(same), np.ravel(different)
    drawn = figure(7, 4)
    axes = drawn.subplots()
    bins = np.linspace(0, max(same.max(), different.max()) or 1, 61)
    for values, color, text in ((same, HIT, "same class"), (different, MISS, "other class")):
        label = f"{text}, {len(values):,} pairs"
        axes.hist(values, bins, density=True, alpha=0.6, color=color, label=label)
    if threshold is not None:
        axes.axvline(threshold, color="black", ls="--", lw=1, label=f"threshold {threshold:.3f}")
    axes.set(xlabel="distance", ylabel="density", title="distances of pairs")
    axes.legend(frameon=False)
    return drawn


def curves(history: Sequence[Mapping[str, float]]) -> Figure:
    """The logs of `fit` by epoch; `val_x` is drawn together with `x`, if there is an `x`."""
    logged = history[0]
    names = [x for x in logged if not (x.startswith("val_") and x.removeprefix("val_") in logged)]
    drawn = figure(7, 2.8 * len(names) + 0.4)
    epochs = np.arange(1, len(history) + 1)
    marker = "o" if len(history) == 1 else None
    for axes, name in zip(drawn.subplots(len(names), squeeze=False)[:, 0], names, strict=True):
        axes.plot(epochs, [logs[name] for logs in history], marker=marker, label="training")
        if f"val_{name}" in history[0]:
            held_out = [logs[f"val_{name}"] for logs in history]
            axes.plot(epochs, held_out, marker=marker, label="validation")
            axes.legend(frameon=False)
        axes.set(xlabel="epoch", ylabel=name)
    return drawn


def _framed(axes, image, color: str, width: float) -> None:
    axes.imshow(shown(image), cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(edgecolor=color, linewidth=width)

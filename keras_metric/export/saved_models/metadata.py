"""Facts that travel inside the artefact: what it is, how it answers, what it was measured at."""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from keras_metric.export.saved_models.versions import latest
from keras_metric.version import VERSION


def metadata_file(folder: Path) -> Path:
    """Where the facts are: `assets.extra`, which servers carry along and do not load."""
    return folder / "assets.extra" / "keras_metric.json"


def read_metadata(path: str | Path) -> dict:
    """The facts of a SavedModel written by `saved_model`: of a version, or of the latest one.

    Keys: `kind`, `fingerprint` (of the weights, as `keras_metric.retrieval` gives it), `signatures`
    (inputs and outputs by name), `labels`, `threshold`, `gallery` (how many records, and how they
    are compared), `versions`, and `about`, the caller's own. Loads neither Keras nor TensorFlow.

    Raises:
        FileNotFoundError: no SavedModel at `path`, or one that was written by something else.
    """
    place = metadata_file(latest(path))
    if not place.is_file():
        raise FileNotFoundError(
            f"The SavedModel {str(path)!r} says nothing about itself. Expected: {place}, as written"
            " by keras_metric.export.saved_model. Received: no such file."
        )
    return json.loads(place.read_text(encoding="utf-8"))


def describe(subject, served: dict, options) -> dict:
    """The facts to write for a subject and its signatures."""
    from keras_metric.retrieval.weights import fingerprint_of

    distance = getattr(subject.distance, "__name__", subject.distance)
    return {
        "kind": subject.kind,
        "fingerprint": fingerprint_of(branch.model for branch in subject.branches),
        "networks": [branch.model.name for branch in subject.branches],
        "image_shapes": [branch.shape for branch in subject.branches],
        "distance": distance,
        "threshold": options.threshold,
        "labels": options.labels,
        "gallery": options.gallery and options.gallery.facts(),
        "pixel_range": options.pixel_range,
        "signatures": {name: sorted(endpoint.inputs) for name, endpoint in served.items()},
        "versions": {"keras_metric": VERSION, **_installed("keras", "tensorflow", "numpy")},
        "about": options.metadata or {},
    }


def _installed(*names: str) -> dict[str, str]:
    found = {}
    for name in names:
        for distribution in (name, f"{name}-cpu"):
            try:
                found[name] = version(distribution)
            except PackageNotFoundError:
                continue
    return found

"""Load embedding networks from a `.keras` file, the folder of a run, or a SavedModel."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_metric.preprocessing import Preprocessing, attached
from zoo.inference.bulk import pixels
from zoo.progress import warn


@dataclass(frozen=True)
class Source:
    """Where a network is saved and how its images are prepared; small enough to be sent to workers.

    - `path`: a version folder of a SavedModel, else a `.keras` file or the folder of a run.
    - `branch`: which network, where there are two.
    - `size`: height and width, for a model that takes any.
    - `threads`: of a SavedModel; the library's own choice when None.
    - `pixels`: the range it was trained on, a key of `pixels.RANGES`; `resize`, `fill`,
      `interpolation`: as of `keras_metric.Preprocessing`. None leaves these to that of the model.
    - `layer`: whose output is the embedding, where it is not the last one.
    """

    path: Path
    branch: str | None = None
    size: tuple[int, int] | None = None
    threads: int | None = None
    pixels: str | None = None
    layer: str | None = None
    resize: str | None = None
    fill: int | None = None
    interpolation: str | None = None

    @property
    def exported(self) -> bool:
        """Whether this is a SavedModel."""
        return (self.path / "saved_model.pb").is_file()

    def preprocessing(self, own: Preprocessing, shape: tuple) -> Preprocessing:
        """That of the model with what is asked for here, for inputs of `shape` (H, W, C).

        Raises:
            ValueError: the model takes other images, or any size and none is given.
        """
        asked = own.with_changes(
            resize=self.resize,
            fill=self.fill,
            interpolation=self.interpolation,
            pixel_range=self.pixels and pixels.known(self.pixels),
        )
        asked = replace(asked, size=self.size or own.size)
        fixed = shape[:2]
        sides = zip(fixed, asked.size or fixed, strict=True)
        if any(side is None or given not in (None, side) for given, side in sides):
            raise ValueError(
                "The size of the images is not known. Expected: --size HxW for a model that takes "
                "any size, and none other than its own for one that does not. Received: --size "
                f"{'x'.join(map(str, self.size)) if self.size else 'left out'}, a model of {fixed}."
            )
        return asked.fitted(shape)


@dataclass(frozen=True)
class Network:
    """Images `(B, H, W, C)` uint8, 0 to 255 -> embeddings `(B, D)` float32.

    - `preprocessing`: how pictures become images; its `read` gives the bytes taken here.
    - `fingerprint`: of the weights. `distance`: between embeddings.
    - `encoder`: the `keras.Model` of images as its own type, where it is one.
    """

    run: Callable[[np.ndarray], np.ndarray]
    preprocessing: Preprocessing
    fingerprint: str
    distance: str
    encoder: Any = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.preprocessing.shape

    def __call__(self, images: np.ndarray) -> np.ndarray:
        answer = np.asarray(self.run(images))
        if answer.ndim != 2:
            raise ValueError(
                "The model gives no embeddings. Expected: an answer (B, D) to a batch of images. "
                f"Received: {answer.shape}."
            )
        return answer.astype("float32", copy=False)


def locate(path: str | Path, **options: Any) -> Source:
    """The `Source` meant by a path: of a folder of versions, the latest one.

    Raises:
        FileNotFoundError: no model there.
    """
    from keras_metric.export import latest, versions

    pixels.known(options.get("pixels") or pixels.BYTES)
    path = Path(path)
    kept_by_keras = path.is_file() or (path / "model.keras").is_file()
    if not kept_by_keras and ((path / "saved_model.pb").is_file() or versions(path)):
        return Source(latest(path), **options)
    return Source(path, **options)


def load(source: Source) -> Network:
    """The network of a source.

    Raises:
        FileNotFoundError: no model there.
        ValueError: not an embedding network, a branch or layer it does not have, or no size of
            image.
    """
    return _exported(source) if source.exported else _keras(source)


def _keras(source: Source) -> Network:
    import zoo
    from keras_metric.export import take_apart
    from keras_metric.retrieval import fingerprint

    model = zoo.load(source.path)
    own = attached(model)
    if source.layer is not None:
        model = _up_to(model, source.layer)
    parts = take_apart(model)
    if parts.kind != "embedding" and source.layer is None:
        raise ValueError(
            f"{source.path} gives no embeddings. Expected: a model whose answer is (B, D), not a "
            f"softmax; of a classifier, --layer with {_listed(_vectors(model)[-3:])}. "
            f"Received: a model of the kind {parts.kind!r}."
        )
    networks = {branch.model.name: branch for branch in parts.branches}
    branch = networks[_branch(list(networks), source.branch)]
    usual = own or Preprocessing.of_shape((None, *branch.shape))
    preprocessing = source.preprocessing(usual, branch.shape)
    distance = getattr(parts.distance, "__name__", parts.distance)
    if own is None or source.pixels is not None:
        doubt = pixels.warning(branch.model, source.pixels or pixels.BYTES)
        if doubt is not None:
            warn(f"{source.path}: {doubt}")
    return Network(
        _of_bytes(branch.model, branch.dtype, preprocessing).predict_on_batch,
        preprocessing,
        _mark(fingerprint(model), usual, preprocessing),
        distance,
        branch.model,
    )


def _of_bytes(model, dtype: str, preprocessing: Preprocessing):
    """The model with the cast of its images inside: a batch moves as bytes, not as floats."""
    import keras

    low, high = preprocessing.pixel_range
    images = keras.Input(preprocessing.shape, dtype="uint8")
    fed = keras.ops.cast(images, dtype)
    if (low, high) != (0, 255):
        fed = low + fed * ((high - low) / 255)
    return keras.Model(images, model(fed, training=False))


def _mark(fingerprint: str, usual: Preprocessing, asked: Preprocessing) -> str:
    """The fingerprint of the weights, or another one if they get other pixels than usual."""
    marks = []
    if asked.pixel_range != usual.pixel_range:
        marks.append("{:g}..{:g}".format(*asked.pixel_range))
    others = ("resize", "fill", "interpolation")
    marks += [f"{x}={getattr(asked, x)}" for x in others if getattr(asked, x) != getattr(usual, x)]
    if not marks:
        return fingerprint
    return hashlib.sha256(" ".join([fingerprint, *marks]).encode()).hexdigest()


def _vectors(model) -> list[str]:
    """The layers whose output is (B, D), but for the last one."""
    import keras

    def is_vector(layer) -> bool:
        shape = getattr(getattr(layer, "output", None), "shape", ())
        return len(shape) == 2 and not isinstance(layer, keras.layers.InputLayer)

    return [layer.name for layer in model.layers[:-1] if is_vector(layer)]


def _listed(names: list[str]) -> str:
    return " or ".join(names) or "the name of a layer whose output is (B, D); this model has none"


def _up_to(model, name: str):
    """The model as far as a layer."""
    import keras

    if name not in _vectors(model):
        raise ValueError(
            f"{name!r} is no layer to embed with. Expected: a layer whose output is (B, D): "
            f"{_listed(_vectors(model))}. Received: --layer {name}."
        )
    return keras.Model(model.inputs[0], model.get_layer(name).output)


def _exported(source: Source) -> Network:
    from keras_metric.export import Runtime, read_metadata

    given = (source.layer, source.pixels, source.resize, source.fill, source.interpolation)
    if any(x is not None for x in given):
        raise ValueError(
            "A SavedModel is as it was exported. Expected: --layer, --pixels, --resize, --fill and "
            f"--interpolation for a .keras file or a run only. Received: {source.path}."
        )
    facts = read_metadata(source.path)
    if facts["kind"] != "embedding" or "fingerprint" not in facts:
        kind = facts["kind"] if "fingerprint" in facts else "one without a fingerprint: export anew"
        raise ValueError(
            f"{source.path} gives no embeddings. Expected: a SavedModel of the kind 'embedding', "
            f"as `keras-metric export` writes it. Received: {kind}."
        )
    name = _branch(facts["networks"], source.branch)
    place = facts["networks"].index(name)
    signature = "embed" if len(facts["networks"]) == 1 else f"embed_{name}"
    served = Runtime(source.path, threads=source.threads)
    shape = tuple(facts["image_shapes"][place])
    usual = facts.get("preprocessing")
    usual = Preprocessing.from_json(usual) if usual else Preprocessing.of_shape((None, *shape))
    usual = usual.with_changes(pixel_range=tuple(facts["pixel_range"]))
    low, high = facts["pixel_range"]
    plain = (low, high) == (0, 255)

    def run(images):
        fed = images if plain else low + images.astype("float32") * ((high - low) / 255)
        return served(signature, images=fed)["embeddings"]

    preprocessing = source.preprocessing(usual, shape)
    return Network(run, preprocessing, facts["fingerprint"], facts["distance"])


def _branch(names: list[str], wanted: str | None) -> str:
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted not in names:
        raise ValueError(
            f"The model has more than one encoder. Expected: --branch {' or '.join(names)}. "
            f"Received: {wanted or 'none'}."
        )
    return wanted

"""Export of a Keras model as a SavedModel with named signatures, checked before it is kept."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from keras_metric.export.saved_models.gallery import Gallery
from keras_metric.export.saved_models.options import Options
from keras_metric.export.saved_models.versions import draft_in, free_version, publish
from keras_metric.preprocessing import Preprocessing, attached

if TYPE_CHECKING:
    from keras_metric.retrieval import Index


def saved_model(
    model: keras.Model,
    path: str | Path,
    *,
    signatures: Sequence[str] | None = None,
    version: int | None = None,
    metadata: dict | None = None,
    labels: Sequence[str] | None = None,
    threshold: float | None = None,
    distance: str | Callable = "euclidean",
    image_shape: tuple[int | None, int | None, int] | None = None,
    top: int = 5,
    preprocessing: Preprocessing | None = None,
    pixel_range: tuple[float, float] | None = None,
    max_pixels: int = 2**25,
    gallery: "Index | None" = None,
) -> Path:
    """Export `model` as the next version in the folder `path`; returns the folder of that version.

    Signatures by kind of model:

    - embeddings, `SiameseNet`, `TripletNet`: `serving_default` and `embed`, images -> embeddings
      (of the first branch; `embed_NAME` for each where there are two); `similarity`, left and
      right -> distance, and `same` where a threshold is given. With a gallery, `neighbours`,
      images -> `distances`, `ids` and `labels` of the nearest records, nearest first, and `same`
      where the index is calibrated; and `explain`, the same and `maps` (B, top, h, w), what each
      position adds to the cosine with that neighbour, for encoders that end in
      GlobalAveragePooling2D or Flatten, and at most Dense and unit length.
    - class scores (softmax, one sigmoid unit, or `labels` are given): `serving_default`, images ->
      scores; `classify`, images -> the best `classes`, their `scores` and `labels`; `explain`, the
      same and `maps` (B, top, h, w), the class activation maps in units of the logit, for models
      that end in GlobalAveragePooling2D and Dense. One unit has two classes: scores [1 - p, p]
      behind a sigmoid, else [-z, z].
    - map (fully convolutional): `serving_default` and `dense`, images -> map.
    - any other: `serving_default`, the inputs -> the outputs, by name where there are several.

    The input is `images` for (B, H, W, C) of any number of channels, and `inputs` for another rank;
    several inputs keep their names, and have no `similarity`.

    For each signature but `embed` and `dense` there is one that takes image files: `bytes` for
    `serving_default`, `NAME_bytes` for the others, where the model has one image size and 1 or 3
    channels, which come last. Files are decoded in the graph (JPEG, PNG, WebP, BMP, GIF; the first
    frame of an animation) and preprocessed as `preprocessing` says, to the same arrays as in
    Python. The output `valid` is false where a file was no image, and the other files of the batch
    are answered all the same.

    The batch is of any size, none included. Layers run as at inference. Floating-point answers are
    float32. The draft is loaded through a TensorFlow session and compared with the Keras model on
    every signature before it becomes a version.

    Args:
        model: any `keras.Model`, or a network of two branches.
        path: the model's folder, which holds its versions.
        signatures: names to write; all that fit the model when left out.
        version: number of the version; the next free one when left out.
        metadata: facts to keep with the model, anything JSON can say.
        labels: of the classes, in order; says that the model is a classifier. For one unit, those
            of class 0 and class 1, or of class 1 alone.
        threshold: distance up to which two images count as the same.
        distance: between embeddings, where the model does not bring its own.
        image_shape: (H, W, C) where the model does not say, as with subclassed models, or to fix
            the size of a model that takes any.
        top: number of classes in `classify` and `explain`, and of neighbours.
        preprocessing: how image files become inputs; by default the one that the model carries,
            else the default of `keras_metric.Preprocessing` for its input.
        pixel_range: what black and white are to the model, instead of that of `preprocessing`.
        max_pixels: images of more pixels are not decoded; they count as no image.
        gallery: an index of the model's embeddings, written into the SavedModel (4 D bytes a
            record) and compared one by one with each image. Its distance and threshold are those
            of `neighbours`.

    Raises:
        FileExistsError: the version exists.
        ImportError: TensorFlow is missing.
        ValueError, TypeError: the model or an option does not fit.
        RuntimeError: the SavedModel does not answer as the Keras model does.
    """
    preprocessing = preprocessing or attached(model)
    if pixel_range is None:
        pixel_range = (preprocessing or Preprocessing()).pixel_range
    elif preprocessing is not None:
        preprocessing = preprocessing.with_changes(pixel_range=pixel_range)
    options = Options.checked(
        signatures=signatures,
        metadata=metadata,
        labels=labels,
        threshold=threshold,
        distance=distance,
        image_shape=image_shape,
        top=top,
        preprocessing=preprocessing,
        pixel_range=pixel_range,
        max_pixels=max_pixels,
        gallery=None if gallery is None else Gallery.of(gallery, model, preprocessing),
    )
    free_version(path, version)
    if keras.backend.backend() == "tensorflow":
        from keras_metric.export.saved_models.graph import write
    else:
        from keras_metric.export.saved_models.other_backends import write
    with draft_in(Path(path)) as draft:
        write(model, draft, options)
        return publish(draft, path, version)

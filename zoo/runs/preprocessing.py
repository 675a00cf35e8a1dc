"""The preprocessing of any kind of model, by object, path or name."""

from pathlib import Path
from typing import TYPE_CHECKING

from keras_metric.preprocessing import Preprocessing, attached, in_file
from zoo import pretrained
from zoo.runs.runs import Run, load, place

if TYPE_CHECKING:
    import keras


def preprocessing(model: "keras.Model | str | Path") -> Preprocessing:
    """The `keras_metric.Preprocessing` of a model: how a picture becomes its input.

    A model without one, such as a plain Keras model or a run of an earlier version, has the
    default: pictures are stretched to its input size (bilinear), rotated upright, put on black
    where they are transparent, gray or RGB according to its channels, with values 0..255. Change it
    with `zoo.preprocessing(model).with_changes(resize="letterbox")`.

    Args:
        model: a `keras.Model`; the path of a run, preset, `.keras` file or exported SavedModel;
            `hf://OWNER/NAME`; or the name of a trained model or backbone.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: its input is not a picture.
    """
    if not isinstance(model, str | Path):
        return _of_model(model)
    if pretrained.is_backbone(model):
        return pretrained.preprocessing(str(model))
    path = place(model, whole=False)
    if _is_exported(path):
        return _of_saved_model(path)
    file = Run(path).model if path.is_dir() else path
    found = in_file(file) if file.is_file() else None
    return _of_model(load(model)) if found is None else found


def _of_model(model: "keras.Model") -> Preprocessing:
    found = attached(model)
    if found is not None:
        return found
    from keras_metric.export import take_apart

    return Preprocessing.of_shape((None, *take_apart(model).branches[0].shape))


def _is_exported(path: Path) -> bool:
    from keras_metric.export import versions

    exported = path.is_dir() and ((path / "saved_model.pb").is_file() or bool(versions(path)))
    return exported and not Run(path).model.is_file()


def _of_saved_model(path: Path) -> Preprocessing:
    from keras_metric.export import read_metadata

    facts = read_metadata(path)
    if facts.get("preprocessing") is not None:
        return Preprocessing.from_json(facts["preprocessing"])
    default = Preprocessing.of_shape((None, *facts["image_shapes"][0]))
    return default.with_changes(pixel_range=tuple(facts["pixel_range"]))

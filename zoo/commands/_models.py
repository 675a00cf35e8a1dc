"""MODEL of the commands that convert: a name, a run, a hub name, or any Keras file."""

from pathlib import Path


def opened(model: str, *, trust: bool = False):
    """The model, as `zoo.load` or `km.convert.load` opens it.

    Raises:
        FileNotFoundError, ValueError, ConversionError: as these do.
    """
    import zoo
    from keras_metric import convert

    return zoo.load(model) if _of_the_zoo(model) else convert.load(model, safe_mode=not trust)


def converted(model: str, window: tuple[int, int] | None):
    """The converted network in a file; a classifier of a run, hub or name is converted now."""
    from keras_metric import convert

    network = opened(model)
    if not _of_the_zoo(model) or len(network.outputs[0].shape) > 2:
        return network
    shape = None if window is None else (*window, network.input_shape[-1])
    free = None in network.input_shape[1:]
    return convert.to_fully_convolutional(network, input_shape=shape if free else None)


def _of_the_zoo(model: str) -> bool:
    from zoo.pretrained import is_named
    from zoo.runs import hub
    from zoo.runs.runs import Run

    return is_named(model) or hub.is_name(model) or Run(Path(model)).model.is_file()

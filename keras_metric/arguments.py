"""Arguments by value: what an object was built with is what it is saved as."""

import inspect

import keras

__all__ = ["arguments", "as_json", "serializable"]

serializable = keras.saving.register_keras_serializable(package="keras_metric")


def arguments(cls):
    """Names of the constructor's arguments, with those that `**options` hands to the base."""
    for owner in cls.__mro__[:-1]:
        parameters = inspect.signature(vars(owner).get("__init__", _takes_options)).parameters
        named = [name for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD]
        yield from (name for name in named if name != "self")
        if len(named) == len(parameters):
            return


def _takes_options(self, **options):
    """Stands for a class that leaves the constructor to its base."""


def as_json(value):
    """An argument as JSON: registered functions and objects by their registered name."""
    if not callable(value):
        return value
    named = value if inspect.isfunction(value) else type(value)
    registered = keras.saving.get_registered_name(named)
    if getattr(value, "__module__", None) == "keras_metric.distances":
        return value.__name__
    if keras.saving.get_registered_object(registered) is named:
        return keras.saving.serialize_keras_object(value)
    raise ValueError(
        "A function of one's own cannot be saved by name. Expected one registered with "
        "@keras.saving.register_keras_serializable(). "
        f"Received: {getattr(value, '__name__', value)!r}"
    )

"""Constructor arguments: checked when an object is built, and saved by value."""

import inspect
import math
import numbers

import keras

__all__ = [
    "Configured",
    "FixedArguments",
    "arguments",
    "as_json",
    "number",
    "serializable",
    "whole",
]

serializable = keras.saving.register_keras_serializable(package="keras_metric")


class FixedArguments:
    """Base of objects whose constructor arguments cannot be changed afterwards.

    A compiled training step has already read them: a new value would change the configuration
    but not the step. Raises AttributeError when an argument other than the name is set again.
    """

    def __setattr__(self, name, value):
        if name != "name" and name in vars(self) and name in arguments(type(self)):
            kind = type(self).__name__
            raise AttributeError(
                f"{kind}.{name} is fixed when it is built, since a compiled step has read it. "
                f"Expected: a new one, {kind}.from_config({{**old.get_config(), {name!r}: ...}}), "
                "in a new model.compile(model.optimizer, loss=...), which keeps the weights. "
                f"Received: {name}={value!r}."
            )
        super().__setattr__(name, value)


class Configured(FixedArguments):
    """Base of objects that are saved as their constructor arguments."""

    def get_config(self):
        return {name: as_json(getattr(self, name)) for name in arguments(type(self))}

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))


def arguments(cls):
    """Names of the constructor's arguments, including those that `**options` passes to the base."""
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
    if getattr(value, "is_named_distance", False):
        return value.__name__
    if keras.saving.get_registered_object(registered) is named:
        return keras.saving.serialize_keras_object(value)
    raise ValueError(
        "A function of one's own cannot be saved by name. Expected: one registered with "
        "@keras.saving.register_keras_serializable(). "
        f"Received: {getattr(value, '__name__', value)!r}"
    )


def number(name: str, value, *, least=None, above=None, most=None, below=None):
    """`value` as a Python number, finite and within the bounds given, two of them at most.

    Raises ValueError for anything else: NaN, infinity, True, a string, a tensor.
    """
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    inside = (
        real
        and math.isfinite(value)
        and (least is None or value >= least)
        and (above is None or value > above)
        and (most is None or value <= most)
        and (below is None or value < below)
    )
    if not inside:
        bounds = {"from": least, "above": above, "to": most, "below": below}
        words = " ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)
        raise ValueError(
            f"{name} is out of range. Expected: a finite number{words and ' ' + words}. "
            f"Received: {name}={value!r}"
        )
    return value.item() if hasattr(value, "item") else value


def whole(name: str, value, *, least: int = 1) -> int:
    """`value` as a Python integer, at least `least`; raises ValueError for anything else."""
    integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not integer or value < least:
        raise ValueError(
            f"{name} is out of range. Expected: an integer from {least} on. "
            f"Received: {name}={value!r}"
        )
    return int(value)

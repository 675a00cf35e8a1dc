"""The table of rules, and how a rule is found.

A rule is a function `site -> Value` (a list of them for several outputs), registered for a kind of
layer on a layout:

    @rule(layers.Dense, on=View)
    def dense(site): ...

A raw operation such as `x * 2` is named by a string, "Multiply". A layer without a rule goes to
the layout's default, registered with `@default(on=Grid)`.
"""

from collections.abc import Callable

from keras_metric.convert.graph.site import Plain

RULES: dict[tuple, Callable] = {}
DEFAULTS: dict[type, Callable] = {}


def rule(*kinds: type | str, on: type) -> Callable:
    """Register a function as the rule for `kinds` of layers on a layout."""

    def register(function: Callable) -> Callable:
        for kind in kinds:
            if (kind, on) in RULES:
                raise ValueError(
                    f"Two rules for one layer. Expected: one for each kind on each layout. "
                    f"Received: {function.__name__} and {RULES[kind, on].__name__} for {kind}."
                )
            RULES[kind, on] = function
        return function

    return register


def default(*, on: type) -> Callable:
    """Register a function as the rule of layers that have none on a layout."""

    def register(function: Callable) -> Callable:
        DEFAULTS[on] = function
        return function

    return register


def find(site) -> Callable:
    """The rule for a site: its tensor with the highest layout decides, then the class.

    A class that overrides `call` does not inherit the rules of its parents, except that of the
    class in its attribute `infers_as`.
    """
    on = max((type(v.layout) for v in site.values), key=lambda kind: kind.rank, default=Plain)
    kind = type(site.op)
    for cls in kind.__mro__:
        raw = cls.__module__.startswith("keras.src.ops")
        found = RULES.get((cls.__name__ if raw else cls, on))
        if found and (kind.call is cls.call or getattr(kind, "infers_as", None) is cls):
            return found
    return DEFAULTS[on]

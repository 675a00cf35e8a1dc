"""Miners select informative pairs: `Pairs -> Pairs`; they only remove pairs.

Give one to a loss by name (`miner="batch_hard"`) or as an object (`miner=PairMargin(0.1, 0.9)`).
A miner with `looks_beyond_row = True` is called with a second argument, the distances between
candidates: columns (A,) -> (A, C).
"""

import difflib
import re
from collections.abc import Callable

from . import angles, choice, draws, margins
from .angles import *  # noqa: F403
from .choice import *  # noqa: F403
from .draws import *  # noqa: F403
from .margins import *  # noqa: F403

__all__ = [*angles.__all__, *choice.__all__, *draws.__all__, *margins.__all__, "get", "names"]

_BY_NAME = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): getattr(family, name)
    for family in (angles, choice, draws, margins)
    for name in family.__all__
}


def names() -> list[str]:
    """The names that `get` accepts."""
    return sorted(_BY_NAME)


def get(identifier: str | Callable) -> Callable:
    """The miner of that name with its default arguments, or the callable itself."""
    if callable(identifier):
        return identifier
    if identifier in _BY_NAME:
        return _BY_NAME[identifier]()
    nearest = difflib.get_close_matches(str(identifier), _BY_NAME, n=1, cutoff=0.4)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    raise ValueError(
        f"Unknown miner. Expected: one of {', '.join(names())}, or a function Pairs -> Pairs. "
        f"Received: miner={identifier!r}{hint}."
    )

"""The kind of an index and its options, checked first."""

import difflib
from collections.abc import Mapping

from keras_metric.arguments import whole

COMPRESSED = ("int8", "binary")
OPTIONS = {
    "exact": (),
    "ivf": ("nlist", "nprobe"),
    "hnsw": ("m", "ef_construction", "ef_search"),
    **dict.fromkeys(COMPRESSED, ()),
}


def checked_kind(kind: str, options: Mapping[str, int] | None) -> dict[str, int]:
    """The options of a kind of index.

    Raises:
        ValueError: an unknown kind or option, or an option that is no whole number from 1 on.
    """
    if kind not in OPTIONS:
        raise _unknown("kind of index", kind, list(OPTIONS))
    for name in options or {}:
        if name not in OPTIONS[kind]:
            raise _unknown(f"option of kind {kind!r}", name, list(OPTIONS[kind]))
    return {name: whole(name, value) for name, value in (options or {}).items()}


def _unknown(what: str, received, known: list[str]) -> ValueError:
    nearest = difflib.get_close_matches(str(received), known, n=1)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    return ValueError(
        f"Unknown {what}. Expected: one of {', '.join(known) or 'none'}. "
        f"Received: {received!r}{hint}."
    )

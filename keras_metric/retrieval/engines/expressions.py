"""Filters in the words of Milvus."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from keras_metric.retrieval.storage.table import conditions


def expression(filter: Mapping[str, Any], names: Sequence[str]) -> str:
    """The boolean expression of a filter {name: value or values}, over the field `record`.

    Raises:
        KeyError: a name that no record has.
    """
    parts = []
    for name, allowed in conditions(filter, ["id", "label", *names]).items():
        if name == "id":
            parts.append(f"id in {sorted(allowed)}")
            continue
        field = 'record["label"]' if name == "label" else f'record["metadata"][{_quoted(name)}]'
        parts.append(" or ".join(_one(field, value) for value in allowed) or "id in []")
    return " and ".join(f"({part})" for part in parts)


def _one(field: str, value) -> str:
    return f"not exists {field}" if value is None else f"{field} == {_quoted(value)}"


def _quoted(value) -> str:
    return json.dumps(value, ensure_ascii=False)

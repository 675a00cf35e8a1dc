"""The pictures of a page by name: samples, scenes, those of the index, and the last uploads."""

from collections import OrderedDict
from collections.abc import Callable, Mapping

from keras_metric.serve import Refusal
from zoo.demo.picture import Picture

KEPT = 16  # uploads


class Shelf:
    """`shelf["sample-0"]`, `shelf["scene-1"]`, `shelf["record-17"]`, `shelf["upload-3"]`.

    Args:
        fixed: the pictures that exist from the start, by name.
        record: the picture of a record of the index, by its id.
    """

    def __init__(self, fixed: Mapping[str, Picture], record: Callable[[int], Picture]):
        self._fixed, self._record = fixed, record
        self._uploads: OrderedDict[str, Picture] = OrderedDict()
        self._count = 0

    def add(self, picture: Picture) -> str:
        """Store an upload; returns its name. Of more than `KEPT` the oldest is removed."""
        name = f"upload-{self._count}"
        self._count += 1
        self._uploads[name] = picture
        while len(self._uploads) > KEPT:
            self._uploads.popitem(last=False)
        return name

    def __getitem__(self, name: str) -> Picture:
        """A picture by name; raises `Refusal` if there is none."""
        if name in self._uploads:
            return self._uploads[name]
        if name in self._fixed:
            return self._fixed[name]
        number = record_id(name)
        if number is not None:
            return self._record(number)
        raise Refusal(
            "NOT_FOUND",
            "There is no such picture. Expected: sample-N, scene-N, record-N, or one of the last "
            f"{KEPT} uploads. Received: {name[:80]!r}.",
        )


def record_id(name: str) -> int | None:
    """17 for "record-17"; None for what is no record."""
    kind, _, number = name.partition("-")
    is_one = kind == "record" and number.isascii() and number.isdecimal() and len(number) < 19
    return int(number) if is_one else None

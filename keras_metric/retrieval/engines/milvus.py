"""Records and vectors in Milvus: a file of `milvus-lite`, or a server, behind the same calls.

Everything lies in one collection; what it was made for is in its properties. Reads are strongly
consistent: a record is found as soon as `add` returns. One process may add at a time.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from keras_metric.retrieval.engines.gaps import gaps_of
from keras_metric.retrieval.storage.table import Filter, as_objects, conditions

FACTS = "keras_metric"
SECONDS = 5  # to wait for a server's first answer
PAGE = 1000  # rows or queries a call
TYPES = {"exact": "FLAT", "ivf": "IVF_FLAT", "hnsw": "HNSW"}
NLIST = 128
STRONG = {"consistency_level": "Strong"}


class Milvus:
    """One collection of a Milvus.

    Args:
        address: a file that ends in .db, or the address of a server.
        collection: its name there. token: of the server's account.
    """

    def __init__(self, address: str, collection: str, token: str | None = None):
        self.address, self.name = whole_address(address), collection
        self.client, there = opened(self.address, collection, token)
        self.facts: Any = self._read_facts() if there else None

    @property
    def exact(self) -> bool:
        return self.facts["kind"] == "exact"

    ready = True

    def prepare(self) -> None:
        """Milvus learns by itself."""

    @property
    def width(self) -> int:
        return self.facts["width"]

    @property
    def next(self) -> int:
        return self.facts["next"]

    @property
    def empty(self) -> bool:
        return not self.next

    def create(self, facts: dict[str, Any]) -> None:
        """Make the collection; `facts` are its distance, kind, options, fingerprint, width."""
        self.facts = {**facts, "next": 0, "names": []}
        types, schema = data_types(), self.client.create_schema(auto_id=False)
        schema.add_field("id", types.INT64, is_primary=True)
        schema.add_field("vector", types.FLOAT_VECTOR, dim=facts["width"])
        schema.add_field("record", types.JSON)
        given, params = facts["options"], {}
        if facts["kind"] == "ivf":
            params = {"nlist": given.get("nlist", NLIST)}
        if facts["kind"] == "hnsw":
            params = {"M": given.get("m", 32), "efConstruction": given.get("ef_construction", 40)}
        index = self.client.prepare_index_params()
        metric = "IP" if facts["distance"] == "cosine" else "L2"
        kind = TYPES[facts["kind"]]
        index.add_index("vector", index_type=kind, metric_type=metric, params=params)
        stored = {FACTS: json.dumps(self.facts)}
        self.client.create_collection(
            self.name, schema=schema, index_params=index, properties=stored, **STRONG
        )

    def __len__(self) -> int:
        counted = self.client.query(self.name, filter="", output_fields=["count(*)"], **STRONG)
        return int(counted[0]["count(*)"])

    def add(self, vectors: np.ndarray, labels: list, metadata: list[dict[str, Any]]) -> np.ndarray:
        _refuse_no_utf8(labels, metadata)
        start = self._read_facts()["next"]
        ids = np.arange(start, start + len(vectors), dtype=np.int64)
        names = dict.fromkeys([*self.facts["names"], *(n for m in metadata for n in m)])
        self.facts |= {"next": start + len(vectors), "names": list(names)}
        self.client.alter_collection_properties(self.name, {FACTS: json.dumps(self.facts)})
        records = [
            _without_none({"label": label, "metadata": _without_none(record)})
            for label, record in zip(labels, metadata, strict=True)
        ]
        for first in range(0, len(ids), PAGE):
            rows = slice(first, first + PAGE)
            parts = zip(ids[rows].tolist(), vectors[rows], records[rows], strict=True)
            self.client.insert(
                self.name, [{"id": i, "vector": v, "record": record} for i, v, record in parts]
            )
        return ids

    def remove(self, ids: np.ndarray) -> int:
        before = len(self)
        for first in range(0, len(ids), PAGE):
            self.client.delete(self.name, ids=ids[first : first + PAGE].tolist())
        return before - len(self)

    def held(self, ids: np.ndarray) -> np.ndarray:
        """Which of the ids (N,) some record has."""
        there = {row["id"] for row in self._get(ids, [])}
        return np.fromiter((i in there for i in ids.tolist()), bool, len(ids))

    def ids(self) -> np.ndarray:
        return np.sort(np.array([row["id"] for row in self._rows(["id"])], np.int64))

    def labels(self) -> np.ndarray:
        """Of all records, in the order of their ids."""
        rows = self._rows(["id", "record"])
        return as_objects([(row["record"] or {}).get("label") for row in rows])

    def of(self, ids: np.ndarray) -> np.ndarray:
        vectors = {row["id"]: row["vector"] for row in self._get(ids, ["vector"])}
        return np.array([vectors[i] for i in ids.tolist()], np.float32)

    def search(self, queries: np.ndarray, k: int, filter: Filter | None = None):
        """Gaps, ids, labels and metadata, (Q, k) each; id -1 for none."""
        apart, by_product = np.full((len(queries), k), np.inf), self.facts["distance"] == "cosine"
        ids = np.full(apart.shape, -1, np.int64)
        labels, metadata = np.full(apart.shape, None), as_objects([{} for _ in range(apart.size)])
        metadata = metadata.reshape(apart.shape)
        condition = self._condition(filter)
        for row, hits in enumerate(self._hits(queries, k, condition)):
            if not hits:
                continue
            vectors = np.array([[hit["entity"]["vector"] for hit in hits]], np.float32)
            found = gaps_of(queries[row : row + 1], vectors, by_product)[0]
            order = np.lexsort(([hit["id"] for hit in hits], found))
            for column, place in enumerate(order):
                hit = hits[place]
                record = hit["entity"]["record"] or {}
                apart[row, column], ids[row, column] = found[place], hit["id"]
                labels[row, column] = record.get("label")
                metadata[row, column] = record.get("metadata", {})
        return apart, ids, labels, metadata

    def exactly(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The true nearest, compared here with every vector, page by page."""
        best = np.empty((len(queries), 0)), np.empty((len(queries), 0), np.int64)
        for page in self._pages(["id", "vector"]):
            vectors = np.array([row["vector"] for row in page], np.float32)
            near = queries @ vectors.T
            if self.facts["distance"] != "cosine":
                near = 2 * near - (vectors**2).sum(1)
            new = np.broadcast_to([row["id"] for row in page], near.shape)
            near, ids = np.hstack([best[0], near]), np.hstack([best[1], new])
            order = np.argsort(-near, axis=1, kind="stable")[:, :k]
            best = np.take_along_axis(near, order, 1), np.take_along_axis(ids, order, 1)
        return best

    def without(self, ids: np.ndarray) -> "Milvus":
        """The collection as it is: nothing is taken out of what others use."""
        return self

    def close(self) -> None:
        self.client.close()

    def _hits(self, queries: np.ndarray, k: int, condition: str) -> Iterator[list]:
        params = {}
        if self.facts["kind"] == "ivf":
            params = {"nprobe": self.facts["options"].get("nprobe", 8)}
        if self.facts["kind"] == "hnsw":
            params = {"ef": max(k, self.facts["options"].get("ef_search", 64))}
        for first in range(0, len(queries), PAGE):
            yield from self.client.search(
                self.name,
                data=list(queries[first : first + PAGE]),
                limit=k,
                filter=condition,
                output_fields=["record", "vector"],
                search_params={"params": params},
                **STRONG,
            )

    def _condition(self, filter: Filter | None) -> str:
        if not callable(filter):
            return "" if filter is None else expression(filter, self.facts["names"])
        everything = self._rows(["id", "record"])
        chosen = [row["id"] for row in everything if filter(_as_record(row))]
        return f"id in {chosen}"

    def _rows(self, fields: list[str]) -> Iterator[dict]:
        for page in self._pages(fields):
            yield from page

    def _pages(self, fields: list[str]) -> Iterator[list[dict]]:
        """All rows, in the order of their ids."""
        last = -1
        while True:
            within = f"id > {last} and id <= {last + PAGE}"
            if last + 1 >= self.next:
                return
            page = self.client.query(
                self.name, filter=within, output_fields=fields, limit=PAGE, **STRONG
            )
            last += PAGE
            if page:
                yield sorted(page, key=lambda row: row["id"])

    def _get(self, ids: np.ndarray, fields: list[str]) -> Iterator[dict]:
        for first in range(0, len(ids), PAGE):
            chosen = ids[first : first + PAGE].tolist()
            yield from self.client.get(
                self.name, ids=chosen, output_fields=["id", *fields], **STRONG
            )

    def _read_facts(self) -> dict[str, Any]:
        stored = self.client.describe_collection(self.name).get("properties", {}).get(FACTS)
        if stored is None:
            raise ValueError(
                f"The collection {self.name!r} at {self.address} was not made by an Index. "
                "Expected: one that an Index made, or a free name. Received: a collection "
                f"without {FACTS!r} among its properties."
            )
        return json.loads(stored)


def _as_record(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the record that a filter function takes."""
    record = row["record"] or {}
    return {"id": row["id"], "label": record.get("label"), **record.get("metadata", {})}


def _refuse_no_utf8(labels: list, metadata: list[dict[str, Any]]) -> None:
    texts = [*labels, *(part for record in metadata for pair in record.items() for part in pair)]
    for text in texts:
        if (
            isinstance(text, str)
            and not text.isascii()
            and text.encode("utf-8", "ignore") != (text.encode("utf-8", "surrogatepass"))
        ):
            raise ValueError(
                "Milvus keeps text as UTF-8. Expected: labels and metadata that are valid text, as "
                f"not every name of a file is. Received: {text!r}."
            )


def _without_none(metadata: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if value is not None}


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


def whole_address(address: str) -> str:
    """The address from everywhere: the path of a file from the root, a server's as it is."""
    return str(Path(address).expanduser().resolve()) if is_file(address) else address


def is_file(address: str) -> bool:
    """Whether an address means a file of `milvus-lite`."""
    return "://" not in address and address.endswith(".db")


def opened(address: str, collection: str, token: str | None) -> tuple[Any, bool]:
    """A client of the Milvus at an address, and whether it holds the collection.

    The file of `milvus-lite` is made where there is none.

    Raises:
        ConnectionError: no Milvus there that lets us in.
    """
    library = pymilvus()
    try:
        client = library.MilvusClient(uri=address, token=token or "", timeout=SECONDS)
        return client, client.has_collection(collection)
    except (library.MilvusException, OSError) as error:
        raise ConnectionError(
            f"There is no Milvus at {address}. Expected: a file that ends in .db, or the address "
            "of a server that runs, as http://localhost:19530. Received: "
            f"{getattr(error, 'message', error)}"
        ) from error


def data_types():
    """The library's names of the types of fields."""
    return pymilvus().DataType


def pymilvus():
    """The client library.

    Raises:
        ModuleNotFoundError: it is missing; the message names the command that installs it.
    """
    try:
        return import_module("pymilvus")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "An index in Milvus needs its client. Expected: "
            '`pip install "keras-metric[milvus]"`. Received: an environment without it.'
        ) from error

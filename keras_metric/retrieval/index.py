"""The index: a collection that is saved atomically, measures its recall, and matches queries."""

from pathlib import Path
from typing import Any

import keras

from keras_metric.preprocessing import Preprocessing, attached, check_same
from keras_metric.retrieval.calibration import Calibration
from keras_metric.retrieval.collection import FAISS, Collection
from keras_metric.retrieval.encoding import refuse_another
from keras_metric.retrieval.engines.milvus import is_file
from keras_metric.retrieval.matchers import Matches, matched
from keras_metric.retrieval.pca import PCA
from keras_metric.retrieval.recall import Recall, measured
from keras_metric.retrieval.refinement import Refinement
from keras_metric.retrieval.storage import generations
from keras_metric.retrieval.storage.table import Filter


class Index(Collection):
    """A searchable collection of embeddings, with the label and metadata of each.

        index = Index(encoder, distance="cosine")
        ids = index.add(images, labels, metadata=[{"year": 2024}, ...])
        found = index.search(queries, k=5, filter={"year": {2023, 2024}})
        index.save("birds.index")
        index = Index.load("birds.index", encoder)

    Images (N, H, W, C) are embedded by the encoder; a matrix (N, D) is treated as embeddings, or as
    inputs if the encoder takes matrices of that width. Pass `model=` with an array of embeddings to
    check that this model made them.

    Threads may share an index: searches run concurrently; `add`, `remove` and the training of the
    lists of "ivf" run exclusively.

    `preprocessing` says how the pictures in it became inputs (a `keras_metric.Preprocessing`, or
    None); set it, and it is saved with the index and compared with that of the encoder.

    Args:
        encoder: the network that embeds images, or None for an index of embeddings. Of a
            `SiameseNet` with two encoders the first embeds queries, the second records.
        distance: "cosine", "euclidean" or "squared_euclidean"; by default that of the encoder, if
            it has one, else "cosine".
        kind: "exact", "ivf" (inverted lists) or "hnsw" (a graph). The last two are approximate;
            their measured recall is saved with the index, see `recall`. "int8" and "binary" store
            a byte or a bit for each number, and compare every vector as it is stored.
        options: of the kind. ivf: `nlist` lists (4 sqrt(N) by default), of which `nprobe` are
            searched (a sixteenth, at least 8). hnsw: `m` links (32), `ef_construction` (40),
            `ef_search` (64).

        engine: "faiss", in this process; or the address of a Milvus: a file that ends in .db
            (milvus-lite), or http://host:port. An existing index is opened; `save` then writes its
            address, and the records stay in Milvus.
        collection, token: of Milvus; the token is never saved.
        pca: a `PCA` through which all embeddings go first; saved with the index.

    Raises:
        ValueError: an unknown distance, kind or option, or a distance other than the encoder's; a
            PCA, "int8" or "binary" with Milvus.
        ConnectionError: no Milvus at that address.
    """

    preprocessing: Preprocessing | None = None  # of the pictures in it, where somebody said so
    _calibration: Calibration | None = None
    _recall: tuple[int, Recall] | None = None  # with the number of vectors it was measured on

    @property
    def calibration(self) -> Calibration | None:
        """The calibration whose threshold `match` uses; saved with the index.

        Setting a calibration of another distance or model raises ValueError.
        """
        return self._calibration

    @calibration.setter
    def calibration(self, calibration: Calibration | None) -> None:
        if calibration is not None:
            if calibration.distance != self.distance:
                raise ValueError(
                    f"The threshold is in another unit. Expected: distance={self.distance!r}, that "
                    f"of the index. Received: {calibration.distance!r}."
                )
            refuse_another(self.fingerprint, calibration.fingerprint, "What was calibrated")
        self._calibration = calibration

    def match(
        self,
        items,
        k: int = 5,
        matcher: str = "nearest",
        filter: Filter | None = None,
        *,
        refine: Refinement | None = None,
        model: keras.Model | str | None = None,
    ) -> Matches:
        """The label of each query from its `k` nearest records; None if none is near enough.

        Args:
            items, filter, refine, model: as in `search`.
            matcher: "nearest", "vote" or "weighted", see `matchers`.
        """
        found = self.search(items, k, filter, refine=refine, model=model)
        return matched(found, matcher, self.calibration)

    def recall(self, k: int = 10, sample: int = 1000, seed: int = 0) -> Recall:
        """The share of the true `k` nearest that a search finds, measured with held-out vectors.

        An index of the same kind is built from the other vectors, which takes as long as building
        this one. 1 for an exact index. The value is saved with the index.

        Raises:
            ValueError: the index has at most k records.
        """
        with self._searching() as store:
            if store is None:
                raise ValueError(
                    "There is nothing to find. Expected: an index with records. Received: an empty "
                    "one."
                )
            found = measured(store, k, sample, seed)
            self._recall = len(self), found
        return found

    def save(self, folder: str | Path) -> Path:
        """Save the index; a folder that already has one gets a new generation.

        If the process is killed at any moment, the folder has the previous state or the new one.

        Raises:
            FileExistsError: the folder has other content, or another process is saving to it.
        """
        with self._searching():
            return generations.save(folder, self._facts(), self._write)

    @classmethod
    def load(
        cls, folder: str | Path, encoder: keras.Model | None = None, *, token: str | None = None
    ) -> "Index":
        """The index saved in `folder`; the checksum of every file is verified.

        Raises:
            FileNotFoundError: there is no index.
            ValueError: a file is damaged, or `encoder` is not the model that made the index, or
                its preprocessing differs.
        """

        def read(place: Path, facts: dict[str, Any]) -> "Index":
            gone = _records_gone(folder, facts)
            if is_file(facts["engine"]) and not Path(facts["engine"]).exists():
                raise gone  # before an empty one is made there
            made = facts.get("preprocessing")
            made = made and Preprocessing.from_json(made)
            check_same(made, attached(encoder), f"The index {folder}")
            asked = {key: facts[key] for key in ("distance", "kind", "options", "engine")}
            asked |= {"collection": facts["collection"], "token": token, "pca": PCA.read(place)}
            index = cls(encoder, **asked)
            refuse_another(facts["fingerprint"], index.fingerprint, "The encoder")
            index.fingerprint = facts["fingerprint"] or index.fingerprint
            index.preprocessing = made
            if facts["calibration"] is not None:
                index.calibration = Calibration.from_json(facts["calibration"])
            if facts["recall"] is not None:
                index._recall = facts["recall_of"], Recall(**facts["recall"])
            if facts["width"] is not None and facts["engine"] == FAISS:
                index._store = index._new_store(facts["width"])
                index._store.read(place, facts["next"])
            elif facts["width"] is not None and index._store is None:
                index.close()
                raise gone
            return index

        return generations.load(folder, read)

    def __repr__(self) -> str:
        known = f", recall@{self._recall[1].k} {self._recall[1].value:.4f}" if self._recall else ""
        return super().__repr__()[:-1] + known + ")"

    def _facts(self) -> dict[str, Any]:
        recall = self._own_recall()
        return {
            **self._common_facts(),
            "format": 1,
            "engine": self.engine,
            "collection": self._name,
            "records": len(self),
            "next": 0 if self._store is None else self._store.next,
            "recall": recall and recall._asdict(),
            "recall_of": recall and self._recall[0],
            "calibration": self.calibration and self.calibration.as_json(),
            "preprocessing": self.preprocessing and self.preprocessing.as_json(),
        }

    def close(self) -> None:
        """Close the connection to Milvus; does nothing for other indexes."""
        if self._remote is not None:
            self._remote.close()

    def _own_recall(self) -> Recall | None:
        """Of an approximate index; measured again when it has grown or shrunk by a quarter."""
        if self._store is None or self._store.exact or len(self) <= 20:
            return None
        if self._recall is None or not 0.75 <= len(self) / self._recall[0] <= 1.25:
            self.recall()
        return self._recall[1]

    def _write(self, draft: Path) -> None:
        if self.pca is not None:
            self.pca.write(draft)
        if self._store is not None and self.engine == FAISS:
            self._store.write(draft)


def _records_gone(folder: str | Path, facts: dict[str, Any]) -> FileNotFoundError:
    return FileNotFoundError(
        f"The records of {folder} are gone. Expected: the collection {facts['collection']!r} in "
        f"the Milvus at {facts['engine']}; of one that was moved make an Index with its new "
        "address, and save that. Received: none of that name."
    )

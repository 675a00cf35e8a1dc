"""Principal components: embeddings in fewer dimensions, and of equal variance in each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_metric.arguments import whole
from keras_metric.metrics.ranking import check_widths, embedding_matrix

FILE = "pca.npz"


@dataclass(frozen=True, eq=False)
class PCA:
    """The projection of embeddings on their first principal components.

        covariance = sum_i lambda_i u_i u_i^T        y_i = u_i · (x - mean)
        whitened:  y_i = u_i · (x - mean) / sqrt(lambda_i)

        pca = PCA.fit(embeddings, 64)
        small = pca(embeddings)  # (N, D) -> (N, 64)

    Jégou and Chum, "Negative evidences and co-occurrences in image retrieval: the benefit of PCA
    and whitening", ECCV 2012, section 2.

    Attributes:
        mean: (D,) float32.
        components: (D, W) float32, the columns u_i, divided by sqrt(lambda_i) if whitened.
    """

    mean: np.ndarray
    components: np.ndarray

    @classmethod
    def fit(cls, embeddings, width: int, *, whiten: bool = False) -> "PCA":
        """The first `width` components of embeddings (N, D).

        Raises:
            ValueError: embeddings that do not vary in so many directions, NaN or infinity.
        """
        x, width = embedding_matrix(embeddings).astype(np.float64), whole("width", width)
        mean = x.mean(axis=0)
        variances, directions = np.linalg.eigh((x - mean).T @ (x - mean) / len(x))
        variances, directions = variances[::-1], directions[:, ::-1]
        least = variances[0] * max(x.shape) * np.finfo(np.float32).eps
        rank = int((variances > max(least, 0)).sum())
        if width > rank:
            raise ValueError(
                f"The embeddings have not so many components. Expected: a width of at most {rank}, "
                f"in which these {len(x):,} embeddings vary. Received: {width}."
            )
        directions = directions[:, :width]
        peaks = directions[np.abs(directions).argmax(axis=0), np.arange(width)]
        components = directions * np.sign(peaks)  # else the sign is the library's
        if whiten:
            components /= np.sqrt(variances[:width])
        return cls(mean.astype(np.float32), components.astype(np.float32))

    @property
    def width(self) -> int:
        """W, the number of components."""
        return self.components.shape[1]

    def __call__(self, embeddings) -> np.ndarray:
        """Embeddings (N, D) in the W components, (N, W).

        Raises:
            ValueError: embeddings of another width, NaN or infinity.
        """
        x = embedding_matrix(embeddings)
        check_widths(x, self.mean[None])
        return (x - self.mean) @ self.components

    def write(self, folder: Path) -> None:
        np.savez(folder / FILE, mean=self.mean, components=self.components)

    @classmethod
    def read(cls, folder: Path) -> "PCA | None":
        """The one written in a folder; None if there is none."""
        if not (folder / FILE).is_file():
            return None
        with np.load(folder / FILE, allow_pickle=False) as stored:
            return cls(stored["mean"], stored["components"])

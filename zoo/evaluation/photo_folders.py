"""A model measured on folders of photographs, without training: as it is, and with LDA.

FOLDER has `train` and `validation`, each with one sub-folder a class. Photographs of `validation`
are searched among one another, and each is classified by a vote of its nearest in `train`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from keras_metric.retrieval import Refinement
from zoo.datasets.reading._extras import need
from zoo.evaluation.vectors import Vectors, lda, refined_results, results_of
from zoo.inference.collecting import Collected, collect

KNOWN, ASKED = "train", "validation"
AS_IT_IS, WITH_LDA = "this model", "this model + LDA"


def measure(
    model: str | Path, folder: str | Path, refine: Refinement | None = None, **network: Any
) -> dict[str, Any]:
    """Results of a model on `folder/validation`, with what it knows of `folder/train`.

    `network` are options of `zoo.inference.collecting.collect`, such as `resize`. With `refine`
    another column has the results of refined searches.

    "+ LDA" is linear discriminant analysis of the embeddings (Fisher 1936), fitted to `train`, with
    the covariance shrunk by 0.2 towards a multiple of the identity; its outputs have unit length.

    Raises:
        FileNotFoundError: no such model, or a folder without `train` and `validation`.
        ValueError: fewer than two classes, or a class in `validation` that `train` lacks.
        ImportError: scikit-learn or faiss is missing.
    """
    need("sklearn", extra="eval", purpose="LDA")
    need("faiss", extra="search", purpose="The vote of the nearest photographs")
    places = [Path(folder) / name for name in (KNOWN, ASKED)]
    missing = [place.name for place in places if not place.is_dir()]
    if missing:
        raise FileNotFoundError(
            f"{folder} is not a set of photographs. Expected: the folders {KNOWN} and {ASKED} in "
            f"it, each with one sub-folder per class. Received: no {' and no '.join(missing)}."
        )
    known, asked = (collect(model, place, **network) for place in places)
    of_known, of_asked = _labelled(known), _labelled(asked)
    strange = sorted(set(of_asked.names) - set(of_known.names))
    if strange:
        raise ValueError(
            f"A vote cannot find a class that it does not know. Expected: every class of {ASKED} "
            f"in {KNOWN}. Received: {', '.join(strange[:5])} in {ASKED} only."
        )
    projected = lda(of_known, of_asked)
    results = {AS_IT_IS: results_of(of_known, of_asked)}
    if refine is not None:
        results[f"{AS_IT_IS}, {refine}"] = refined_results(of_known, of_asked, refine)
    if projected is not None:
        results[WITH_LDA] = results_of(*projected)
    return {
        "model": str(model),
        "photographs": str(folder),
        "preprocessing": str(known.network.preprocessing),
        KNOWN: len(of_known.names),
        ASKED: len(of_asked.names),
        "results": results,
        "skipped": [*known.skipped, *asked.skipped],
    }


def _labelled(found: Collected) -> Vectors:
    rows, numbers, names = found.labelled()
    return Vectors(found.embeddings[rows], np.array(names)[numbers])

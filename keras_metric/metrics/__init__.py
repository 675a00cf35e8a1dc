"""Metrics of embeddings (retrieval, verification, one-shot, clustering) and of boxes.

Functions evaluate a whole set exactly (`retrieval`, `verification`, `one_shot`, `clustering`);
classes are Keras metrics for `compile(metrics=[...])`, over batches; `EvaluateRetrieval` is a
callback that evaluates a held-out set during `fit`.
"""

from . import (
    all_pairs,
    at_rank,
    callbacks,
    clusters,
    detection,
    few_shot,
    in_batch,
    in_stream,
    intervals,
    neighbours,
    verification_scores,
)
from .all_pairs import *  # noqa: F403
from .at_rank import *  # noqa: F403
from .callbacks import *  # noqa: F403
from .clusters import *  # noqa: F403
from .detection import *  # noqa: F403
from .few_shot import *  # noqa: F403
from .in_batch import *  # noqa: F403
from .in_stream import *  # noqa: F403
from .intervals import *  # noqa: F403
from .neighbours import *  # noqa: F403
from .verification_scores import *  # noqa: F403

__all__ = [
    *all_pairs.__all__,
    *at_rank.__all__,
    *callbacks.__all__,
    *clusters.__all__,
    *detection.__all__,
    *few_shot.__all__,
    *in_batch.__all__,
    *in_stream.__all__,
    *intervals.__all__,
    *neighbours.__all__,
    *verification_scores.__all__,
]

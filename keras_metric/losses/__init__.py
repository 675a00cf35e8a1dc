"""Losses for `compile(loss=...)`, on given pairs and triplets or on labeled batches.

`PairLoss` is the base class of losses that form their pairs in a labeled batch.
"""

from . import given, pairwise, ranking, softmax, structured, triplets, views
from ._base import PairLoss  # noqa: F401
from .given import *  # noqa: F403
from .pairwise import *  # noqa: F403
from .ranking import *  # noqa: F403
from .softmax import *  # noqa: F403
from .structured import *  # noqa: F403
from .triplets import *  # noqa: F403
from .views import *  # noqa: F403

__all__ = [
    *given.__all__,
    *pairwise.__all__,
    *ranking.__all__,
    *softmax.__all__,
    *structured.__all__,
    *triplets.__all__,
    *views.__all__,
]

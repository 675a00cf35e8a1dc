"""Losses for `compile(loss=...)`: pairs and triplets given, or found in a labelled batch."""

from . import given, triplets
from .given import *  # noqa: F403
from .triplets import *  # noqa: F403

__all__ = [*given.__all__, *triplets.__all__]

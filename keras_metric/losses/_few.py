"""Losses that ask the rest of a row for one number, and compare each positive with that.

With few positives an anchor their distances are taken out of the row first: then only what the rest
needs is of size A x C.
"""

from keras import ops

from keras_metric.losses._base import PairLoss
from keras_metric.losses._choice import by_mates
from keras_metric.numerics.operations import at_least, take_columns, with_columns
from keras_metric.pairs import Pairs

__all__ = ["RestLoss"]

TIERS = (3, 8)  # P x K batches of 4 images a class have 3 positives an anchor


class RestLoss(PairLoss):
    """A loss on pairs that is a function of an anchor's positives and one number of the rest.

    A leaf implements `rest(pairs)` -> (A,), and `of_positives(d, positives, rest)`: (A, S)
    distances, (A, S) which of them are positives, (A,) -> (A,) values.
    """

    short = 1024  # candidates; whole rows of fewer cost less than a branch around them

    def rest(self, pairs):
        """Pairs -> (A,): what positives are compared with."""
        raise NotImplementedError(f"{type(self).__name__} does not implement rest(pairs).")

    def of_positives(self, d, positives, rest):
        """(A, S) distances, (A, S) bool which are positives, (A,) the rest -> (A,) values."""
        raise NotImplementedError(
            f"{type(self).__name__} does not implement of_positives(d, positives, rest)."
        )

    def values(self, pairs):
        return self.of_positives(pairs.distances, pairs.positives, self.rest(pairs))

    def _counted(self, batch):
        every = super()._counted
        if self.multi_label or (batch.candidates.shape[0] or self.short) < self.short:
            return every(batch)
        return by_mates(batch, TIERS, self._of_few, every)

    def _of_few(self, batch):
        """Values and counts (A,) of anchors whose positives are all among their mates."""
        columns = self._by_rows(self._block, batch)
        return columns[:, 0], columns[:, 1] > 0

    def _block(self, batch):
        pairs = self._pairs(batch)
        places = at_least(batch.mates, 0)
        are_positives = take_columns(pairs.positives, places)
        positives = ops.logical_and(batch.mates >= 0, are_positives)
        every, d = with_columns(pairs.distances, places)
        pairs = pairs._replace(distances=every)
        values = self.of_positives(d, positives, self.rest(pairs))
        few = Pairs(d, positives, pairs.negatives)
        values, counts = self._where_counted(values, few, batch)
        return ops.stack([values, ops.cast(counts, values.dtype)], axis=1)

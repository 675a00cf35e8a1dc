"""Fits every loss under XLA with a batch size that is not known and a smaller last batch.

A program of its own: where XLA cannot compile a gradient it may end the process.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from keras_metric import losses

LABELLED = [n for n in losses.__all__ if issubclass(getattr(losses, n), losses.PairLoss)]
OPTIONS = {"FastAPLoss": {"bins": 3}, "HistogramLoss": {"bins": 3}}
MININGS = ("hardest_semi_hard", "hard", "easy_positive", "all")


def step(loss):
    """Value and gradient of a batch of any size, compiled by XLA."""

    @tf.function(
        jit_compile=True,
        input_signature=[tf.TensorSpec([None], "int64"), tf.TensorSpec([None, 4])],
    )
    def both(labels, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(labels, x)
        return value, tape.gradient(value, x)

    return both


def main(names):
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(10, 4)).astype("float32"), np.arange(10) % 4
    built = [getattr(losses, name)(**OPTIONS.get(name, {})) for name in names or LABELLED]
    if not names:
        built += [losses.TripletLoss(mining=mining) for mining in MININGS]
    for loss in built:
        compiled = step(loss)
        for rows in (10, 7):
            value, gradient = compiled(labels[:rows], x[:rows])
            expected = float(loss(labels[:rows], x[:rows]))
            np.testing.assert_allclose(float(value), expected, rtol=1e-4)
            assert np.isfinite(gradient).all()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("sgd", losses.InfoNCELoss(), jit_compile=True)
    history = model.fit(x, labels, batch_size=4, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    print("compiled", len(built))


if __name__ == "__main__":
    main(sys.argv[1:])

"""An encoder over micro-batches whose activations are computed again in the backward pass.

The encoder is run as a pure function of its weights and its state (the statistics of batch
normalization, the seeds of dropout), so that running it twice draws the same numbers and moves the
state once. How a backend runs such a function again is its own business: hence three of them.
"""

from functools import partial

import keras
from keras import ops, tree


def embed_in_micro_batches(encoder: keras.Model, inputs, size: int):
    """Embeddings (B, D) and the loss that layers added (None where none did), for training.

    Carries the state of the encoder from micro-batch to micro-batch and stores its last value.
    """
    run = PureEncoder(encoder)
    loop = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
    embeddings, added, state = loop(run, inputs, size)
    run.store(state)
    return embeddings, added / _batch(inputs) if run.adds_loss else None


class PureEncoder:
    """`(weights, state, micro-batch) -> embeddings, added loss times rows, new state`."""

    def __init__(self, encoder: keras.Model):
        self.encoder = encoder
        self.weights = [v.value for v in encoder.trainable_variables]
        # a copy: `store` must not reach what the backward pass starts from
        self.state = [ops.copy(v.value) for v in encoder.non_trainable_variables]
        self.adds_loss = False
        self._changed = [False] * len(self.state)

    def __call__(self, weights, state, inputs):
        encoder = self.encoder
        variables = encoder.trainable_variables + encoder.non_trainable_variables
        values = dict(zip(map(id, variables), [*weights, *state], strict=True))
        scope = keras.StatelessScope([(v, values[id(v)]) for v in variables], collect_losses=True)
        with scope:
            before = [scope.get_current_value(v) for v in encoder.non_trainable_variables]
            embeddings = encoder(inputs, training=True)
        after = [scope.get_current_value(v) for v in encoder.non_trainable_variables]
        self.adds_loss = self.adds_loss or bool(scope.losses)
        self._changed = [
            known or old is not new
            for known, old, new in zip(self._changed, before, after, strict=True)
        ]
        added = ops.zeros((), "float32")
        for loss in scope.losses:
            added = added + ops.sum(ops.cast(loss, "float32"))
        return embeddings, added * _batch(inputs), after

    def store(self, state) -> None:
        """Assigns what the encoder itself would have assigned."""
        variables = self.encoder.non_trainable_variables
        for variable, value, changed in zip(variables, state, self._changed, strict=True):
            if changed:
                variable.assign(value)


def _torch(run, inputs, size):
    embeddings, total, state = [], 0.0, run.state
    again = keras.remat(run)
    for start in range(0, tree.flatten(inputs)[0].shape[0], size):
        part, added, state = again(run.weights, state, _rows(inputs, start, size))
        embeddings.append(part)
        total = total + added
    return ops.concatenate(embeddings, axis=0), total, state


def _jax(run, inputs, size):
    """Equal micro-batches in one compiled loop, then the smaller rest."""
    import jax

    whole = tree.flatten(inputs)[0].shape[0] // size
    again = keras.remat(run)

    def step(state, part):
        embeddings, added, state = again(run.weights, state, part)
        return state, (embeddings, added)

    parts = tree.map_structure(
        lambda x: x[: whole * size].reshape(whole, size, *x.shape[1:]), inputs
    )
    state, (embeddings, added) = jax.lax.scan(step, run.state, parts)
    embeddings, total = embeddings.reshape(whole * size, -1), added.sum()
    rest = _rows(inputs, whole * size, size)
    if tree.flatten(rest)[0].shape[0] == 0:
        return embeddings, total, state
    state, (last, added) = step(state, rest)
    return ops.concatenate([embeddings, last], axis=0), total + added, state


def _tensorflow(run, inputs, size):
    """Two loops that share nothing but weights, first state and inputs.

    A loop differentiated by TensorFlow itself would keep every micro-batch's activations.
    """
    import tensorflow as tf

    batch = tf.shape(tree.flatten(inputs)[0])[0]
    steps = -(-batch // size)
    spec = run.encoder.compute_output_spec(
        tree.map_structure(lambda x: keras.KerasTensor(x.shape, x.dtype.name), inputs)
    )
    rows = partial(_rows, inputs, size=size)

    def loop(body, *values):
        def step(i, *values):
            return i + 1, *body(i, *values)

        return tf.while_loop(lambda i, *_: i < steps, step, (0, *values), parallel_iterations=1)[1:]

    @tf.custom_gradient
    def embed(*weights):
        def forward(i, state, embeddings, total):
            part, added, state = run(weights, state, rows(i * size))
            return state, embeddings.write(i, part), total + added

        array = tf.TensorArray(
            spec.dtype, size=steps, infer_shape=False, element_shape=(None, spec.shape[-1])
        )
        state, embeddings, total = loop(forward, run.state, array, 0.0)

        def gradient(upstream, upstream_added, *_):
            def backward(i, state, gradients):
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(weights)
                    part, added, state = run(weights, state, rows(i * size))
                shares = tape.gradient(
                    [part, added],
                    weights,
                    output_gradients=[_rows(upstream, i * size, size), upstream_added],
                    unconnected_gradients="zero",
                )
                return state, [
                    total + share for total, share in zip(gradients, shares, strict=True)
                ]

            return loop(backward, run.state, [tf.zeros_like(w) for w in weights])[1]

        return (embeddings.concat(), total, *state), gradient

    embeddings, total, *state = embed(*map(tf.convert_to_tensor, run.weights))
    return tf.ensure_shape(embeddings, (None, spec.shape[-1])), total, state


def _rows(structure, start, size: int):
    return tree.map_structure(lambda x: x[start : start + size], structure)


def _batch(inputs):
    return ops.cast(ops.shape(tree.flatten(inputs)[0])[0], "float32")

"""Rows and means over the replicas of a `tf.distribute` strategy, with gradients.

On the JAX backend `keras.distribution` gives every loss the global batch already, so there is
nothing to gather; on torch one process is one replica.
"""

import keras
from keras import ops


def gather(labels, embeddings):
    """The rows of every replica, and where this replica's own rows begin.

        (B, ...), (B, D) -> (R·B, ...), (R·B, D), offset

    Replicas may hold different numbers of rows. The gradient of a gathered row reaches the replica
    it came from, summed over all that used it. Outside of a strategy: the input and 0.

    Raises:
        NotImplementedError: under `torch.distributed` with more than one process.
    """
    replica = _replica()
    if replica is None:
        return labels, embeddings, 0
    import tensorflow as tf

    rows = tf.shape(embeddings)[:1]
    before = tf.range(replica.num_replicas_in_sync) < replica.replica_id_in_sync_group
    counts = replica.all_gather(rows, axis=0)
    offset = tf.reduce_sum(tf.where(before, counts, 0))
    gathered = [_all_rows(replica, tf.convert_to_tensor(x)) for x in (labels, embeddings)]
    return *gathered, offset


def _all_rows(replica, rows):
    """The rows of every replica; `all_gather` forgets how wide they are."""
    import tensorflow as tf

    return tf.ensure_shape(replica.all_gather(rows, axis=0), (None, *rows.shape[1:]))


def replica_mean(value):
    """Mean of a tensor over the replicas, without gradient; the tensor itself outside of them."""
    replica = _replica()
    if replica is None:
        return value
    import tensorflow as tf

    return replica.all_reduce(tf.distribute.ReduceOp.MEAN, ops.stop_gradient(value))


def _replica():
    """The replica that this code runs in, or None where there is only one."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        return context if context is not None and context.num_replicas_in_sync > 1 else None
    if backend == "torch":
        _refuse_torch_processes()
    return None


def _refuse_torch_processes() -> None:
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        processes = distributed.get_world_size()
        if processes > 1:
            raise NotImplementedError(
                "Rows of other torch processes cannot be gathered. Expected: one process, the "
                "TensorFlow backend under tf.distribute, or the JAX backend under "
                f"keras.distribution. Received: a torch.distributed group of {processes}."
            )

"""GradientCache: encoder in micro-batches, loss on the whole batch, exact gradient."""

import keras
from keras import ops, tree

from keras_metric.arguments import whole
from keras_metric.memory.recompute import embed_in_micro_batches
from keras_metric.memory.wrapped import EncoderModel


@keras.saving.register_keras_serializable(package="keras_metric")
class GradientCache(EncoderModel):
    """An encoder that trains on batches of any size with the memory of one micro-batch.

    The forward pass embeds one micro-batch after another and keeps only the embeddings. The loss is
    computed on all of them. The backward pass embeds each micro-batch again, with the same random
    numbers, to backpropagate its part of dL/d(embeddings) to the weights:

        dL/dw = sum over micro-batches m of  (d embeddings_m / dw)^T dL/d(embeddings_m)

    So the gradient is that of the full batch, at the cost of a second forward pass. The loss, loss
    scaling in mixed precision, metrics, the optimizer, `compile` and `fit` are Keras's; any loss on
    (labels, embeddings) works. The wrapper is itself an encoder, for `SiameseNet`, `TripletNet` or
    `CrossBatchMemory`.

    Layers that depend on the other samples see the micro-batch: batch normalization uses the
    statistics of each micro-batch and updates its moving averages once for each. A loss added by a
    layer counts as the mean over samples. The input of the network is treated as constant: no
    gradient flows to layers before it (TensorFlow backend). `predict` and `evaluate` are those of
    the encoder.

    Args:
        encoder: a `keras.Model` from one or several inputs to embeddings (B, D).
        micro_batch_size: number of samples per pass of the encoder; the last may have fewer.
        name: name of the model.

    Raises:
        TypeError: if the encoder is not a `keras.Model`.
        ValueError: if `micro_batch_size` is not a positive integer.

    Gao et al., "Scaling deep contrastive learning batch size under memory limited setup", 2021.
    arXiv:2101.06983, section 3.2
    """

    def __init__(
        self,
        encoder: keras.Model,
        micro_batch_size: int,
        *,
        name: str | None = None,
        **layer_options,
    ):
        micro_batch_size = whole("micro_batch_size", micro_batch_size)
        super().__init__(encoder, name=name, **layer_options)
        self.micro_batch_size = micro_batch_size
        # micro-batches of a batch whose size is only known at run time have no XLA shape
        self.supports_jit = keras.backend.backend() != "tensorflow"
        self.build_if_possible()

    @property
    def compute_dtype(self) -> str:
        """The type of the weights; the encoder casts them by its own policy."""
        return self.variable_dtype

    def call(self, inputs, training=None):
        leaf = tree.flatten(inputs)[0]
        if not training or not ops.is_tensor(leaf) or _fits(leaf, self.micro_batch_size):
            return self.encoder(inputs, training=training)
        embeddings, added_loss = embed_in_micro_batches(self.encoder, inputs, self.micro_batch_size)
        if added_loss is not None:
            self.add_loss(added_loss)
        return embeddings

    def get_config(self) -> dict:
        return {**super().get_config(), "micro_batch_size": self.micro_batch_size}


def _fits(leaf, size: int) -> bool:
    return leaf.shape[0] is not None and leaf.shape[0] <= size

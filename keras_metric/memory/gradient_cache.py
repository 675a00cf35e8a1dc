"""GradientCache: the encoder in micro-batches, the loss on the whole batch, the exact gradient."""

import keras
from keras import ops, tree

from keras_metric.arguments import whole
from keras_metric.memory.recompute import embed_in_micro_batches
from keras_metric.memory.wrapped import EncoderModel


@keras.saving.register_keras_serializable(package="keras_metric")
class GradientCache(EncoderModel):
    """An encoder that trains on a batch of any size in the memory of one micro-batch.

    The forward pass embeds micro-batch after micro-batch and keeps the embeddings alone. The loss
    sees all of them. The backward pass embeds each micro-batch again, with the same random draws,
    to carry its share of dL/d(embeddings) on to the weights:

        dL/dw = sum over micro-batches m of  (d embeddings_m / dw)^T dL/d(embeddings_m)

    so that the gradient is that of the full batch, at the price of a second forward pass. The loss,
    its scaling in mixed precision, metrics, the optimizer and all of `compile` and `fit` stay
    Keras's: any loss on (labels, embeddings) will do. It is itself an encoder, for `SiameseNet`,
    `TripletNet` or `CrossBatchMemory`.

    What depends on the other samples of a forward pass depends on the micro-batch: batch
    normalization takes the statistics of each micro-batch, and moves its averages once for each. A
    loss that a layer adds counts as the mean over samples. The input of the network is taken as
    constant: no gradient flows on to what made it (TensorFlow backend). Prediction and evaluation
    are those of the encoder.

    Args:
        encoder: a `keras.Model` from one or several inputs to embeddings (B, D).
        micro_batch_size: samples that the encoder sees at a time; the last may be fewer.
        name: name of the model.

    Raises:
        TypeError: if the encoder is no `keras.Model`.
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
        """That of the weights: they go whole to the encoder, which casts them by its own policy."""
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

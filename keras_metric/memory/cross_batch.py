"""CrossBatchMemory: embeddings of past batches as additional candidates of the loss."""

import keras
from keras import ops, tree

from keras_metric.arguments import whole
from keras_metric.labels import as_labels, has_int64, widened
from keras_metric.losses import PairLoss
from keras_metric.memory.wrapped import EncoderModel
from keras_metric.numerics.replicas import gather


@keras.saving.register_keras_serializable(package="keras_metric")
class CrossBatchMemory(EncoderModel):
    """An encoder whose loss compares each batch with itself and with the last `size` embeddings.

        loss(anchors = batch,  candidates = batch + memory)

    `compile(loss=...)` takes any `PairLoss` of `keras_metric.losses`. After each training step the
    batch is added to the memory without gradient, and the oldest rows are removed. Embeddings that
    are not finite, or whose squared length is not, are not stored: an overflow in half precision
    costs one step. The memory is two non-trainable weights of fixed size and a count, saved with
    the model. It is used only in training: `predict` does not need it, and `evaluate` compares the
    batch only with itself, since other classes may have the same label numbers there. Under a
    `tf.distribute` strategy the rows of all replicas are added, in the same order on each.

    Args:
        encoder: a `keras.Model` from an input to embeddings (B, D).
        size: number of rows in the memory.
        warmup_steps: number of first training steps in which the memory is filled but not used,
            while the embeddings still change fast.
        name: name of the model.

    Raises:
        TypeError: if the encoder is not a `keras.Model`, or it was compiled with another kind of
            loss.
        ValueError: if `size` is not a positive integer or `warmup_steps` negative.

    Wang et al., "Cross-batch memory for embedding learning", CVPR 2020. arXiv:1912.06798, sec. 3.3
    """

    def __init__(
        self,
        encoder: keras.Model,
        size: int,
        *,
        warmup_steps: int = 0,
        name: str | None = None,
        **layer_options,
    ):
        size = whole("size", size)
        warmup_steps = whole("warmup_steps", warmup_steps, least=0)
        super().__init__(encoder, name=name, **layer_options)
        self.size = size
        self.warmup_steps = warmup_steps
        self.build_if_possible()

    def build(self, input_shape):
        super().build(input_shape)
        dimensions = self.encoder.compute_output_shape(input_shape)[-1]
        self.embeddings = self._frozen("embeddings", (self.size, dimensions), "float32")
        label, dtype = ((), "int64") if has_int64() else ((1, 2), "int32")
        self.labels = self._frozen("labels", (self.size, *label), dtype)
        self.filled = self._frozen("filled", (), "int32")
        self.steps = self._frozen("steps", (), "int32")

    def _frozen(self, name: str, shape: tuple, dtype: str):
        return self.add_weight(
            name=f"memory_{name}",
            shape=shape,
            dtype=dtype,
            initializer="zeros",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        _check_loss(self.loss)
        if not training:
            return super().compute_loss(x, y, y_pred, sample_weight, training=False)
        labels = ops.cast(
            widened(as_labels(y, multi_label=None), 1 if has_int64() else 2), self.labels.dtype
        )
        labels = ops.reshape(labels, (-1, *self.labels.shape[1:]))
        total = ops.cast(self._loss_with_memory(labels, y_pred, sample_weight), "float32")
        total = total * _single_weight(self._compile_loss._user_loss_weights)
        for added in self.losses:
            total = total + self._aggregate_additional_loss(added)
        self._remember(labels, y_pred)
        return total

    def _loss_with_memory(self, labels, embeddings, sample_weight):
        batch_labels, batch, offset = labels, embeddings, 0
        if self.loss.gather:
            batch_labels, batch, offset = gather(labels, embeddings)
        remembered = ops.logical_and(self._in_use(), self.steps.value >= self.warmup_steps)
        valid = ops.concatenate([ops.ones(ops.shape(batch)[:1], "bool"), remembered], axis=0)
        return self.loss.among(valid).loss_against(
            labels,
            embeddings,
            ops.concatenate([batch_labels, self.labels.value], axis=0),
            ops.concatenate([ops.cast(batch, "float32"), self.embeddings.value], axis=0),
            offset,
            sample_weight=sample_weight,
        )

    def _in_use(self):
        """(size,) bool: the places that hold a row; the newest rows stand last."""
        return ops.arange(self.size) >= self.size - self.filled.value

    def _remember(self, labels, embeddings) -> None:
        """Keeps the last `size` of the finite rows: those remembered, then those of the batch."""
        labels, rows, _ = gather(labels, ops.stop_gradient(ops.cast(embeddings, "float32")))
        used = ops.concatenate([self._in_use(), ops.ones(ops.shape(rows)[:1], "bool")], axis=0)
        rows = ops.concatenate([self.embeddings.value, rows], axis=0)
        labels = ops.concatenate([self.labels.value, labels], axis=0)
        used = ops.logical_and(used, _squares_are_finite(rows))
        last = _used_last(used)[-self.size :]
        rows = ops.where(used[:, None], rows, 0)
        for memory, joined in ((self.embeddings, rows), (self.labels, labels)):
            memory.assign(ops.reshape(ops.take(joined, last, axis=0), memory.shape))
        count = ops.sum(ops.cast(used, "int32"))
        self.filled.assign(ops.cast(ops.minimum(count, self.size), "int32"))
        self.steps.assign(self.steps.value + 1)

    def get_config(self) -> dict:
        config = super().get_config()
        return {**config, "size": self.size, "warmup_steps": self.warmup_steps}


def _check_loss(loss) -> None:
    if not isinstance(loss, PairLoss) or loss.multi_label:
        raise TypeError(
            "The loss cannot look into a memory. Expected: compile() with a PairLoss of "
            f"keras_metric.losses on single labels, such as TripletLoss(). Received: {loss!r}."
        )


def _single_weight(loss_weights) -> float:
    """`loss_weights` of `compile`, which takes a number, a list of one or a dict of one."""
    weights = [1.0] if loss_weights is None else tree.flatten(loss_weights)
    if len(weights) != 1:
        raise ValueError(
            "The weights of the loss do not go with it. Expected: one number in loss_weights for "
            f"the one loss. Received: loss_weights={loss_weights!r}."
        )
    return weights[0]


def _squares_are_finite(rows):
    """(N,) bool: whether the squared distance to a row of equal length is still a float32."""
    return ops.isfinite(4 * ops.sum(ops.square(rows), axis=1))


def _used_last(used):
    """An order of (N,) places in which those in use come last, each kind as it stood."""
    count = ops.shape(used)[0]
    places = ops.arange(count, dtype="int32")
    return ops.argsort(ops.where(used, places + count, places))

"""PartialFC: a head of millions of classes, of which each training step compares a sample."""

import keras
from keras import ops

from keras_metric.arguments import whole
from keras_metric.labels import as_labels, class_columns
from keras_metric.memory.wrapped import EncoderModel
from keras_metric.numerics.replicas import gather


@keras.saving.register_keras_serializable(package="keras_metric")
class PartialFC(EncoderModel):
    """An encoder under a head whose training steps compare with a sample of its classes.

        classes of a step = those of the batch and others drawn at random, `classes_per_step` in all
        loss(labels, logits of these classes)

    so that a step takes memory O(B · classes_per_step), not O(B · classes). Any head of
    `keras_metric.heads` is trained by its own loss:

        model = PartialFC(encoder, ArcFace(1_000_000), classes_per_step=100_000)
        model.compile("adam", model.head.loss())

    Evaluation and prediction compare with every class: the output is that of the head. A training
    step has no such output, so that metrics are those of evaluation, and it shows the loss alone.
    A step never samples fewer classes than its batch has rows. Where all are asked for, or there
    are no more, it is the head as it is. The draw is a function of `seed` and the number of the
    step; it is saved with the model, and under a `tf.distribute` strategy it is that of one device.

    Args:
        encoder: a `keras.Model` from an input to embeddings (B, D).
        head: a head of `keras_metric.heads`.
        classes_per_step: classes that a training step compares with, those of the batch included.
        seed: of the draws, an integer from 0 on.
        name: name of the model.

    Raises:
        TypeError: if the encoder is no `keras.Model` or the head none of `keras_metric.heads`.
        ValueError: if `classes_per_step` or `seed` is no such integer.

    An et al., "Partial FC: training 10 million identities on a single machine", 2021,
    arXiv:2010.05222, section 3.2
    """

    def __init__(
        self,
        encoder: keras.Model,
        head: keras.layers.Layer,
        classes_per_step: int,
        *,
        seed: int = 0,
        name: str | None = None,
        **layer_options,
    ):
        classes_per_step = whole("classes_per_step", classes_per_step)
        seed = whole("seed", seed, least=0)
        if not hasattr(head, "class_logits"):
            raise TypeError(
                "The head cannot be sampled. Expected: a head of keras_metric.heads, such as "
                f"ArcFace(1_000_000). Received: {head!r}."
            )
        super().__init__(encoder, name=name, **layer_options)
        self.head = head
        self.classes_per_step = classes_per_step
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)
        self._is_sampled = False  # whether the step that is being traced is
        self.build_if_possible()

    @property
    def encoders(self) -> keras.Model:
        """What `EvaluateRetrieval` measures."""
        return self.encoder

    def build(self, input_shape):
        super().build(input_shape)
        if not self.head.built:
            self.head.build(self.encoder.compute_output_shape(input_shape))
        self.steps = self.add_weight(
            name="sampled_steps",
            shape=(),
            dtype="int32",
            initializer="zeros",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )

    def call(self, inputs, training=None):
        embeddings = self.encoder(inputs, training=training)
        return embeddings if self._samples(training) else self.head(embeddings)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        self._is_sampled = self._samples(training)
        if not self._is_sampled:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        columns, known = class_columns(as_labels(y, multi_label=None), self.head.classes)
        chosen = self._chosen(columns)
        rows = self.head.rows_of(chosen)
        places = ops.where(known, ops.searchsorted(chosen, columns), -1)
        logits = self.head.class_logits(y_pred, rows)
        loss = super().compute_loss(x, places, logits, sample_weight, training)
        penalty = self.head.penalty(rows)
        return loss if penalty is None else loss + penalty

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        if not self._is_sampled:
            return super().compute_metrics(x, y, y_pred, sample_weight)
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict:
        if not self._is_sampled:
            return super().get_metrics_result()
        return {self._loss_tracker.name: self._loss_tracker.result()}

    def _samples(self, training) -> bool:
        return bool(training) and self.classes_per_step < self.head.classes

    def _chosen(self, columns):
        """(S,) int32 classes in ascending order: those of every replica's batch, and others."""
        columns = gather(columns, columns)[0]
        rows, classes = ops.shape(columns)[0], self.head.classes
        count = _between(self.classes_per_step, rows, classes)
        priority = keras.random.uniform((classes,), seed=self._next_seed())
        of_batch = ops.ones((rows,), priority.dtype) * 2
        priority = ops.scatter_update(priority, columns[:, None], of_batch)
        return ops.sort(ops.cast(ops.top_k(priority, count, sorted=False)[1], "int32"))

    def _next_seed(self):
        """The generator at the seed of this step; Keras saves no generators, but weights."""
        steps = self.steps.value
        self.generator.state.assign(ops.cast(ops.stack([self.seed, steps]), "uint32"))
        self.steps.assign(steps + 1)
        return self.generator

    def compute_output_shape(self, input_shape):
        return self.head.compute_output_shape(self.encoder.compute_output_shape(input_shape))

    def get_config(self) -> dict:
        head = keras.saving.serialize_keras_object(self.head)
        own = {"head": head, "classes_per_step": self.classes_per_step, "seed": self.seed}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict):
        head = keras.saving.deserialize_keras_object(config["head"])
        return super().from_config({**config, "head": head})


def _between(least: int, rows, most: int):
    """The rows, but at least and at most so many; a Python integer where the rows are one."""
    if isinstance(rows, int):
        return min(max(least, rows), most)
    return ops.minimum(ops.maximum(least, rows), most)

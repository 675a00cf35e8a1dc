"""A loss for several encoders that train side by side on the same batches."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_metric")
class EachMember(keras.losses.Loss):
    """The sum over members of a loss of labels (B,) and each member's embeddings.

        embeddings (B, members x D), one member beside the other -> scalar

    No member learns from another: the gradient of each is that of its training alone. Raises
    `ValueError` where the width is not a multiple of `members`.
    """

    def __init__(self, loss: keras.losses.Loss, members: int, name: str | None = None):
        super().__init__(name=name)
        self.loss = loss
        self.members = members

    def __call__(self, labels, embeddings, sample_weight=None):
        if embeddings.shape[-1] % self.members:
            raise ValueError(
                "The embeddings cannot be told apart. Expected a width that is a multiple of "
                f"{self.members} members. Received: {embeddings.shape[-1]}."
            )
        parts = ops.split(embeddings, self.members, axis=-1)
        return sum(self.loss(labels, part, sample_weight) for part in parts)

    def get_config(self):
        loss = keras.saving.serialize_keras_object(self.loss)
        return {"loss": loss, "members": self.members, "name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))

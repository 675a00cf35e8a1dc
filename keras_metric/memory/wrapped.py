"""The base class of models that train one encoder."""

import keras

from keras_metric.arguments import FixedArguments


class EncoderModel(FixedArguments, keras.Model):
    """Base class of the wrappers: their output is that of `encoder`; they differ in training."""

    def __init__(self, encoder: keras.Model, *, name: str | None = None, **layer_options):
        if not isinstance(encoder, keras.Model):
            raise TypeError(
                "The encoder cannot be used. Expected: a keras.Model from an input to embeddings. "
                f"Received: {encoder!r}."
            )
        layer_options.setdefault("dtype", encoder.dtype_policy)
        super().__init__(name=name, **layer_options)
        self.encoder = encoder

    @property
    def input_shape(self):
        """The encoder's, where it knows one."""
        return self.encoder.input_shape

    def build_if_possible(self) -> None:
        """Makes the weights at once where the encoder already knows its input."""
        if self.encoder.built and hasattr(self, "input_shape"):
            self.build(self.input_shape)

    def build(self, input_shape):
        if not self.encoder.built:
            self.encoder.build(input_shape)
        self.built = True

    def call(self, inputs, training=None):
        return self.encoder(inputs, training=training)

    def compute_output_shape(self, input_shape):
        return self.encoder.compute_output_shape(input_shape)

    def get_config(self) -> dict:
        encoder = keras.saving.serialize_keras_object(self.encoder)
        return {**super().get_config(), "encoder": encoder}

    @classmethod
    def from_config(cls, config: dict):
        encoder = keras.saving.deserialize_keras_object(config["encoder"])
        return cls(**{**config, "encoder": encoder})

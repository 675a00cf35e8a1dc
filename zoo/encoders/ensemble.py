"""Several encoders and several views of each image, one embedding.

    model = ensemble([encoder], VIEWS)

The embedding is the mean over the views of all encoders' embeddings, concatenated, of unit length:
the cosine of two images is then about the mean of the cosines of all pairs of their views,
of every encoder. Test-time augmentation, an ensemble, or both, as one Keras model.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from zoo.encoders.layers import SignedPower, UnitLength

View = tuple[float, float, float, float]

MODEL_NAMES = ("ensemble", "committee")  # the second in files of 0.1.0

AS_IS: tuple[View, ...] = ((0, 1, 0, 0),)
VIEWS: tuple[View, ...] = (
    *AS_IS,
    (8, 1, 0, 0),
    (-8, 1, 0, 0),
    (0, 0.9, 0, 0),
    (0, 1.1, 0, 0),
    (0, 1, 0.04, 0),
    (0, 1, -0.04, 0),
    (0, 1, 0, 0.04),
    (0, 1, 0, -0.04),
)


@keras.saving.register_keras_serializable("keras_metric")
class Views(layers.Layer):
    """`(B, H, W, C) -> (V, B, H, W, C)`: each image rotated, resized and shifted in V fixed ways.

    A view is (degrees, size, down, right): turned about the middle, `size` times as large, moved by
    fractions of height and width. What comes in from outside is 0. Bilinear interpolation.
    `mirror` adds each view flipped left and right, `(2 V, B, H, W, C)`.

    Raises `ValueError` for no view, or one that has no size.
    """

    def __init__(self, views: Sequence[View], mirror: bool = False, **options):
        super().__init__(**options)
        self.mirror = mirror
        self.views = [tuple(float(value) for value in view) for view in views]
        if not self.views or any(len(view) != 4 or view[1] <= 0 for view in self.views):
            raise ValueError(
                "The views are invalid. Expected: (degrees, size above 0, down, right), once "
                f"or more. Received: {views!r}."
            )

    def call(self, images):
        images = ops.cast(images, self.compute_dtype)
        seen = [_seen(images, view) for view in self.views]
        return ops.stack([*seen, *(ops.flip(x, axis=2) for x in seen)] if self.mirror else seen)

    def compute_output_shape(self, input_shape):
        return (len(self.views) * (2 if self.mirror else 1), *input_shape)

    def get_config(self):
        return {**super().get_config(), "views": self.views, "mirror": self.mirror}


def _seen(images, view: View):
    if view == AS_IS[0]:
        return images
    inverse = ops.convert_to_tensor(np.asarray(_inverse(view, *images.shape[1:3]), "float32"))
    one_each = ops.zeros((ops.shape(images)[0], 1)) + inverse  # JAX and torch share none
    return ops.image.affine_transform(images, one_each)


@keras.saving.register_keras_serializable("keras_metric")
class MeanOfViews(layers.Layer):
    """`(V·B, D) -> (B, D)`: the mean over V views, which lie one after the other."""

    def __init__(self, views: int, **options):
        super().__init__(**options)
        self.views = views

    def call(self, embeddings):
        shape = (self.views, -1, embeddings.shape[-1])
        return ops.mean(ops.reshape(embeddings, shape), axis=0)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "views": self.views}


@keras.saving.register_keras_serializable("keras_metric")
class AllRows(layers.Layer):
    """`(V, B, ...) -> (V·B, ...)`."""

    def call(self, views):
        return ops.reshape(views, (-1, *views.shape[2:]))

    def compute_output_shape(self, input_shape):
        return (None, *input_shape[2:])


def ensemble(
    encoders: Sequence[keras.Model],
    views: Sequence[View] = VIEWS,
    *,
    mirror: bool = False,
    power: float = 1.0,
) -> keras.Model:
    """A model `(B, H, W, C) -> (B, members x D)` of unit length; see above.

    The encoders take the same images and return vectors of unit length. `members` returns them.
    With `mirror` each view counts a second time, flipped left and right. With a `power` every
    encoder's embedding x of a view is sign(x) |x|^power, of unit length again.
    """
    images = keras.Input(encoders[0].input_shape[1:], name="images")
    seen = Views(views, mirror, name="views")(images)
    x = side_by_side(encoders, AllRows(name="rows")(seen), power)
    x = MeanOfViews(seen.shape[0], name="mean")(x)
    return keras.Model(images, UnitLength(name="unit_length")(x), name="ensemble")


def side_by_side(encoders: Sequence[keras.Model], images, power: float = 1.0):
    """Their embeddings one beside the other, `(B, members x D)`."""
    found = [encoder(images) for encoder in encoders]
    if power != 1:
        found = [SignedPower(power, name=f"power{n}")(x) for n, x in enumerate(found)]
        found = [UnitLength(name=f"length{n}")(x) for n, x in enumerate(found)]
    return found[0] if len(found) == 1 else layers.Concatenate(name="members")(found)


def members(model: keras.Model) -> list[keras.Model]:
    """The encoders of an ensemble; another model is its only member."""
    found = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    if len(found) == 1 and found[0].name in MODEL_NAMES:
        return members(found[0])
    return found if model.name in MODEL_NAMES else [model]


def _inverse(view: View, height: int, width: int) -> np.ndarray:
    """`(8,)`: where each new pixel was, (x, y) = A (new x, new y) + t, as Keras wants it."""
    degrees, size, down, right = view
    angle = np.radians(degrees)
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / size
    middle = np.array([width - 1, height - 1]) / 2
    moved = middle - back @ (middle + np.array([right * width, down * height]))
    rows = np.concatenate([back, moved[:, None]], axis=1).reshape(-1)
    return np.concatenate([rows, [0, 0]]).astype("float32")


@keras.saving.register_keras_serializable("keras_metric", name="EachMember")  # its first name
class EnsembleLoss(keras.losses.Loss):
    """The sum over members of a loss of labels (B,) and each member's embeddings.

        embeddings (B, members x D), one member beside the other -> scalar

    Members are independent: the gradient of each is that of training it alone. Raises
    `ValueError` where the width is not a multiple of `members`.
    """

    def __init__(self, loss: keras.losses.Loss, members: int, name: str | None = None):
        super().__init__(name=name)
        self.loss = loss
        self.members = members

    def __call__(self, labels, embeddings, sample_weight=None):
        if embeddings.shape[-1] % self.members:
            raise ValueError(
                "The width does not divide among the members. Expected: a width that is a "
                f"multiple of {self.members} members. Received: {embeddings.shape[-1]}."
            )
        parts = ops.split(embeddings, self.members, axis=-1)
        return sum(self.loss(labels, part, sample_weight) for part in parts)

    def get_config(self):
        loss = keras.saving.serialize_keras_object(self.loss)
        return {"loss": loss, "members": self.members, "name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))

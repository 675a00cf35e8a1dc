"""Backbones of KerasHub by name: `keras_hub/PRESET`, with the weights of the preset.

    zoo.encoders.build("keras_hub/dinov2_small", (224, 224, 3), embedding=None, normalize=True)

PRESET is what `keras_hub.models.Backbone.from_preset` takes: the name of a preset, the folder of
one, `hf://OWNER/NAME`, ... The library downloads its files and keeps them. DINOv2, DINOv3, ViT and
the image towers of CLIP and SigLIP give the tokens of their patches as features `(B, h, w, K)`;
networks whose output is a map, such as ResNets, give that. Scaling is that of the preset, as a
layer of the model.

`pooling="average"` is the mean of the patches; "class_token" is what stands for the whole image:
the class token, of CLIP projected, of SigLIP the attention pooling. There are no maps of it.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import NamedTuple

import keras
from keras import layers

from zoo.datasets.reading._extras import need
from zoo.encoders._parts import Family, Options, rgb
from zoo.encoders.layers import FirstToken, PatchMap

PREFIX = "keras_hub/"
NAMES = ()

_OF_ANY_SIZE = ("DINOV2Backbone", "DINOV3Backbone")  # positions are interpolated, or rotations
_TOWERS = ("CLIPBackbone", "MetaCLIP2Backbone", "SigLIPBackbone")  # of images, beside one of texts


class _Network(NamedTuple):
    """What KerasHub has of pictures.

    - `body`: scaled images -> a map `(B, h, w, K)`, or tokens `(B, N, K)` of which the first
      `before` are not of patches of `patch` pixels.
    - `whole`: scaled images -> what stands for the whole image `(B, D)`, if there is such a thing.
    """

    body: keras.Model
    before: int = 0
    patch: tuple[int, int] | None = None
    whole: Callable | None = None


def _features(images, name: str, options: Options):
    network, x = _opened(name, images)
    x = _called(network.body, x)
    if len(x.shape) == 4:
        return x
    sides = zip(images.shape[1:3], network.patch, strict=True)
    return PatchMap([side // pixels for side, pixels in sides], network.before, name="map")(x)


def _class_token(images, name: str, options: Options):
    network, x = _opened(name, images)
    if network.whole is None:
        raise ValueError(
            f"{name} has no token for the whole image. Expected: pooling='average'. Received: "
            "pooling='class_token'."
        )
    return network.whole(x)


def _called(model: keras.Model, x):
    return model(keras.tree.map_structure(lambda _: x, model.input))


def _opened(name: str, images):
    """The network of a preset for images of this shape, and the images as it takes them."""
    hub = need("keras_hub", extra="keras-hub", purpose=name)
    preset, shape = name.removeprefix(PREFIX), (*images.shape[1:3], 3)
    backbone = _loaded(hub, preset, hub.models.Backbone.from_preset)
    kind = type(backbone).__name__
    if kind in _OF_ANY_SIZE and tuple(backbone.image_shape) != shape and None not in shape:
        backbone = _loaded(hub, preset, type(backbone).from_preset, image_shape=shape)
    network = _of_images(backbone, kind, name)
    _check_size(network, shape, name)
    converter = _loaded(hub, preset, hub.layers.ImageConverter.from_preset)
    scaling = layers.Rescaling(
        _or(converter.scale, 1.0), _or(converter.offset, 0.0), name="scaling"
    )
    return network, scaling(rgb(images))


def _of_images(backbone: keras.Model, kind: str, name: str) -> _Network:
    if kind in _TOWERS:
        tower = backbone.vision_encoder
        patch = _sides(tower.patch_size)
        if kind == "SigLIPBackbone":
            body = keras.Model(tower.input, tower.post_layer_norm.output, name="tower")
            return _Network(body, 0, patch, lambda x: _called(tower, x))
        pooler, projection = backbone.vision_pooler, backbone.vision_projection
        return _Network(tower, 1, patch, lambda x: projection(pooler(_called(tower, x))))
    rank = len(getattr(backbone.output, "shape", ()))
    if len(keras.tree.flatten(backbone.input)) > 1 or rank not in (3, 4):
        raise ValueError(
            f"{name} is no network of pictures alone. Expected: DINOv2, DINOv3, CLIP, SigLIP, ViT, "
            f"or one whose output is a map. Received: {kind}."
        )
    if rank == 4:
        return _Network(backbone)
    class_token = int(getattr(backbone, "use_class_token", True))
    before = class_token + getattr(backbone, "num_register_tokens", 0)
    first = FirstToken(name="class_token")
    whole = (lambda x: first(_called(backbone, x))) if class_token else None
    return _Network(backbone, before, _sides(backbone.patch_size), whole)


def _sides(patch) -> tuple[int, int]:
    return (patch, patch) if isinstance(patch, int) else tuple(patch)


def _check_size(network: _Network, shape: tuple, name: str) -> None:
    own = tuple(keras.tree.flatten(network.body.input)[0].shape[1:])
    if any(a not in (None, b) for a, b in zip(own[:2], shape[:2], strict=True)):
        raise ValueError(
            f"{name} takes images of one size. Expected: input_shape={own}. Received: "
            f"{shape[:2]} pixels."
        )
    if None in shape and network.patch is not None:
        raise ValueError(
            f"{name} cuts images into patches, whose number must be known. Expected: a height and "
            f"width. Received: {shape[:2]}."
        )


def _loaded(hub, preset: str, load: Callable, **options):
    """What `load(preset)` gives; errors say which presets there are and what was missing."""
    try:
        return load(preset, **options)
    except ValueError as error:
        if "Unknown preset identifier" not in str(error):
            raise
        near = get_close_matches(preset, hub.models.Backbone.presets, 3, 0.5)
        raise ValueError(
            f"KerasHub has no such preset. Expected: {' or '.join(near) or 'dinov2_small'}, the "
            f"folder of a preset, or hf://OWNER/NAME. Received: {preset!r}."
        ) from error
    except Exception as error:  # each of its ways to download has its own kinds of errors
        raise ConnectionError(
            f"The preset {preset!r} could not be loaded. Expected: a network connection at the "
            "first use, after which it is kept, or the folder of a preset. Received: "
            f"{type(error).__name__}: {str(error)[:200]}."
        ) from error


def _or(value, default):
    return default if value is None else value


FAMILY = Family(_features, accepts=frozenset(), class_token=_class_token)

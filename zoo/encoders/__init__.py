"""Encoders: `build(name, input_shape)` gives an embedding network or a classifier.

One file per family, which lists its `NAMES`; `names()` reads those without loading Keras.
"""

from __future__ import annotations

import ast
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

__all__ = ["build", "imagenet_classes", "names"]

_PREFIX = "keras.applications."
_HUB = "keras_hub/"


def names() -> tuple[str, ...]:
    """Every name that `build` accepts, sorted; Keras is not imported."""
    return tuple(sorted(_families()))


def build(
    name: str,
    input_shape: tuple[int | None, int | None, int],
    *,
    embedding: int | None = 64,
    classes: int | None = None,
    normalize: bool = False,
    pooling: str | None = None,
    activation: str | None = None,
    dropout: float = 0.0,
    width: float = 1.0,
    weight_decay: float = 0.0,
    squeeze_excite: bool = False,
    weights: str | Path | None = None,
) -> keras.Model:
    """An encoder `(B, H, W, C) -> (B, embedding)`, or a classifier `(B, H, W, C) -> (B, classes)`.

    Images are 0..255, uint8 or float; scaling is a layer of the model.

    - `embedding`: dimension of the embedding; None returns the pooled features.
    - `classes`: builds a classifier with logits instead; `embedding` is then ignored.
    - `normalize`: embeddings of unit length (`UnitLength`).
    - `pooling`: "average" over positions, "gem", their generalized mean with a trainable exponent
      (`keras_metric.pooling.GeM`), or "flatten", with the family's hidden Dense layers if it has
      any; None is the family's default. A `None` in `input_shape` needs "average" or "gem".
      "class_token" is for presets of KerasHub, `keras_hub/PRESET` (see `zoo.encoders.hub_presets`).
    - `activation` of the last Dense layer; None is linear (logits), "softmax" gives probabilities.
    - `dropout`: rate before the last Dense layer, and in the hidden ones.
    - `width`: multiplies every number of channels. `weight_decay`: factor l of l |kernel|^2, added
      to the loss.
    - `squeeze_excite`: residual networks only.
    - `weights`: "imagenet", for `efficientnet_lite0` to `2` and `mobilenet_v2` from packages, for
      `keras.applications` by download; with `classes=1000` the classifier's weights too where they
      are published (`zoo.encoders.imagenet_classes()` names them). Or the path of a `.weights.h5`
      file, of the same model, or of a `.keras` file, whose last layer may differ.

    Raises `ValueError` for an unknown name, an option the family does not have, images too small,
    or weights that do not match; `ImportError` with the command that installs a missing package.
    """
    from zoo.encoders._build import assemble
    from zoo.encoders._parts import Options

    options = Options(width, weight_decay, dropout, squeeze_excite, weights)
    full = _known(name)
    file = "hub_presets" if full.startswith(_HUB) else _families()[full]
    family = import_module(f"zoo.encoders.{file}").FAMILY
    return assemble(
        full,
        family,
        tuple(input_shape),
        options,
        embedding=embedding,
        classes=classes,
        normalize=normalize,
        pooling=pooling,
        activation=activation,
    )


def imagenet_classes() -> tuple[str, ...]:
    """Names of the 1,000 ImageNet classes in the order of the logits: WordNet's first word each."""
    lines = (Path(__file__).parents[1] / "pretrained" / "imagenet_classes.tsv").read_text("utf-8")
    return tuple(line.partition("\t")[2] for line in lines.splitlines())


def _families() -> dict[str, str]:
    """Name of each encoder -> the file of its family, which says so in a literal `NAMES`."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("[!_]*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "NAMES":
                found.update(dict.fromkeys(ast.literal_eval(node.value), file.stem))
    return found


def _known(name: str) -> str:
    if name.startswith(_HUB):
        return name
    known = names()
    if name in known:
        return name
    if _PREFIX + name in known:
        return _PREFIX + name
    near = get_close_matches(name, {*known, *(n.removeprefix(_PREFIX) for n in known)}, 3, 0.5)
    raise ValueError(
        f"Unknown encoder. Expected: one of zoo.encoders.names(), {len(known)} of them"
        f"{'; the nearest: ' + ', '.join(near) if near else ''}. Received: {name!r}."
    )

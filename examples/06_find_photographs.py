"""Photographs named, and found again from a turned, cropped, compressed piece, without training.

    pip install "keras-metric[cpu,plots,eval,demo]"
    python examples/06_find_photographs.py out/photographs

EfficientNet-Lite0 with its published weights, on the photographs that come with scikit-image and
scikit-learn, stretched to 224 x 224 pixels; 05_photographs.py classifies them whole, so that names
may differ. The classifier is exported with its explanation: 07_serve_an_explanation.py asks it.
"""

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import skimage
from matplotlib.figure import Figure
from PIL import Image
from scipy.special import softmax
from sklearn.datasets import load_sample_image

import zoo
from keras_metric import export, plots
from keras_metric.cam import CAM
from zoo.encoders import build, imagenet_classes

PHOTOS = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel")
PHOTOS += ("hubble_deep_field", "ihc", "moon", "motorcycle_left", "page", "retina", "rocket")
SHOWN = ("china", "flower", "chelsea", "coffee", "camera", "rocket")
SIZE, DEGREES, QUALITY = (224, 224), 15, 40


def photographs() -> dict[str, Image.Image]:
    folder = Path(skimage.__file__).with_name("data")
    files = {name: next(folder.glob(f"{name}.[pj][np]g")) for name in PHOTOS}
    found = {name: Image.open(file).convert("RGB") for name, file in files.items()}
    ours = {name: Image.fromarray(load_sample_image(f"{name}.jpg")) for name in SHOWN[:2]}
    return {**ours, **found}


def piece(photo: Image.Image) -> Image.Image:
    """Half of the width and height around the middle, turned, as a small JPEG."""
    turned = photo.rotate(DEGREES, Image.Resampling.BICUBIC)
    width, height = photo.size
    middle = turned.crop((width // 4, height // 4, 3 * width // 4, 3 * height // 4))
    file = BytesIO()
    middle.save(file, "JPEG", quality=QUALITY)
    return Image.open(file)


def picture(pieces, photos, maps, names) -> Figure:
    """The pieces, the photographs that they find, and what these show, and where: a row each."""
    figure = Figure((2 * len(photos), 6.3), layout="constrained")
    axes = figure.subplots(3, len(photos))
    marked = [plots.overlay(photo, each) for photo, each in zip(photos, maps, strict=True)]
    rows = {
        "a piece, turned": pieces,
        "the photograph it finds": photos,
        "what it shows, and where": marked,
    }
    for row, (text, images) in zip(axes, rows.items(), strict=True):
        row[0].set_ylabel(text)
        for axis, image in zip(row, images, strict=True):
            axis.imshow(image)
            axis.set(xticks=[], yticks=[])
    for axis, name in zip(axes[2], names, strict=True):
        axis.set_xlabel(name)
    return figure


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    photos = photographs()
    pieces = {name: piece(photo) for name, photo in photos.items()}
    encoder = zoo.load("efficientnet_lite0")
    classifier = build("efficientnet_lite0", (*SIZE, 3), classes=1000, weights="imagenet")
    preprocess = zoo.preprocessing(classifier)
    images, asked = map(preprocess.batch, (photos.values(), pieces.values()))

    scores = softmax(classifier.predict(images, verbose=0), axis=1)
    best = scores.argmax(axis=1)
    names = [imagenet_classes()[label] for label in best]
    shown = [list(photos).index(name) for name in SHOWN]
    print("What photographs show, of the 1,000 classes of ImageNet:")
    for place in shown:
        print(f"  {list(photos)[place]}: {names[place]} ({scores[place].max():.0%})")

    vectors, queries = (encoder.predict(x, verbose=0) for x in (images, asked))
    vectors, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (vectors, queries))
    found = (queries @ vectors.T).argmax(axis=1)
    again = int((found == np.arange(len(photos))).sum())
    print(f"{again} of {len(photos)} photographs are found again from their middle quarter,")
    print(f"  turned by {DEGREES} degrees and compressed to a JPEG of quality {QUALITY}")

    maps = CAM(classifier)(images[found[shown]], best[found[shown]])
    pixels = (asked[shown].astype("uint8"), images[found[shown]].astype("uint8"))
    drawn = picture(*pixels, maps, [names[place] for place in found[shown]])
    print(f"  {plots.save_png(drawn, folder / 'found.png')}")
    labels = list(imagenet_classes())
    version = export.saved_model(classifier, folder / "saved_model", labels=labels)
    print(f"  {version}  (the SavedModel)")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/photographs"))

"""Ask an exported classifier what a photograph shows, and where, as a server does.

    python examples/06_find_photographs.py out/photographs
    python examples/07_serve_an_explanation.py out/photographs

The SavedModel is loaded by TensorFlow's C library: neither Keras nor Python TensorFlow is imported
here, and the outputs are those of TensorFlow Serving.
"""

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

from keras_metric import plots
from keras_metric.export import Runtime, latest

TOP = 3


def main(folder: Path) -> None:
    photo = Image.fromarray(load_sample_image("china.jpg"))
    file = BytesIO()
    photo.save(file, "JPEG")
    with Runtime(latest(folder / "saved_model")) as served:
        answer = served("explain_bytes", image_bytes=np.array([file.getvalue()], object))
    names = [name.decode() for name in answer["labels"][0, :TOP]]
    scores, maps = answer["scores"][0, :TOP], answer["maps"][0, :TOP]
    print(f"served: {', '.join(f'{n} {s:.2f}' for n, s in zip(names, scores, strict=True))}")

    size = photo.size
    heats = [np.asarray(Image.fromarray(m).resize(size, Image.Resampling.BICUBIC)) for m in maps]
    rows = {"served map of the class": np.stack(heats)}
    picture = plots.comparison([np.asarray(photo)] * TOP, rows, titles=names)
    print(f"  {plots.save_png(picture, folder / 'served.png')}")
    print("Look at:")
    for name in ("found.png", "china.png", "flower.png", "served.png"):
        print(f"  {folder / name}")
    command = Path(sys.executable).with_name("keras-metric")
    print("Next, with some more packages:")
    print(f"  {sys.executable} -m pip install '.[serve,search,pretrained]'")
    print(f"  {command} demo efficientnet_lite0_imagenet --size 224x224   (a page for pictures)")
    print(f"  {command} train my_photos/   (a folder with a sub-folder per class)")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/photographs"))

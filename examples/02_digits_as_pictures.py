"""Write the digits 5 to 9 as PNG files, for the commands that take pictures.

    python examples/02_digits_as_pictures.py pictures

FOLDER/gallery has a folder for each digit; FOLDER/asked the first of each, 5.png to 9.png, which
are not in the gallery.
"""

import sys
from pathlib import Path

import numpy as np

from keras_metric.plots import save_png
from zoo.datasets.sources import digits


def main(folder: Path) -> None:
    unseen = digits.load().of_classes("56789")
    for label in unseen.classes:
        name = unseen.names[label]
        first, *rest = np.flatnonzero(unseen.labels == label)
        places = {folder / "asked" / f"{name}.png": first}
        places |= {folder / "gallery" / name / f"{number}.png": number for number in rest}
        for place, number in places.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            save_png(unseen.images[number, :, :, 0], place)
    print(f"{folder}: {len(unseen)} pictures of {len(unseen.classes)} digits")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "pictures"))

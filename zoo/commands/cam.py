"""draw where in an image a model sees a class

Takes image files and folders of them. The class is the model's best unless one is named by its
number. `cam` is exact for a model whose last step is global average pooling and a dense layer; for
others it says so, and names a method that works.

examples:
  keras-metric cam classifier.keras photo.jpg -o photo-cam.png
  keras-metric cam classifier.keras photos/ --method gradcam -o maps/
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from zoo.commands import Answer

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a .keras file, or folder of a run")
    parser.add_argument("path", metavar="IMAGE", help="an image, or a folder of images")
    parser.add_argument("-o", "--out", required=True, help="the PNG to write, or a folder")
    parser.add_argument(
        "--method", default="cam", help="cam, gradcam, layercam, ... (default: cam)"
    )
    parser.add_argument(
        "--class", type=int, dest="number", metavar="N", help="the class to explain"
    )
    parser.add_argument("--layer", help="the layer to map (default: the last with positions)")


def run(options: Namespace) -> Answer:
    import keras
    import numpy as np

    import zoo
    from keras_metric.cam import CAM
    from keras_metric.plots import overlay
    from zoo.files import write

    targets = _targets(Path(options.path), Path(options.out))
    model = zoo.load(options.model)
    explain = CAM(model, options.method, options.layer).explain
    size, channels = model.input_shape[1:3], model.input_shape[3]
    found = []
    for source, target in targets:
        image = keras.utils.load_img(
            source,
            color_mode="grayscale" if channels == 1 else "rgb",
            target_size=None if None in size else size,
            interpolation="bilinear",
        )
        pixels = keras.utils.img_to_array(image, dtype="float32")
        seen = explain(pixels[None], options.number)
        picture = keras.utils.array_to_img(
            overlay(pixels.astype("uint8"), seen.maps[0]), scale=False
        )
        write(target, picture.save)
        number, score = int(np.ravel(seen.classes)[0]), float(np.ravel(seen.scores)[0])
        found.append({"image": str(source), "map": str(target), "class": number, "score": score})
    lines = [f"{one['map']}: class {one['class']}, score {one['score']:.3f}" for one in found]
    return Answer(found, "\n".join([*lines, f"layer: {seen.layer}"]))


def _targets(path: Path, out: Path) -> list[tuple[Path, Path]]:
    """Each image with the file its map goes to."""
    if path.is_dir():
        images = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGES)
        targets = [(file, out / file.relative_to(path).with_suffix(".png")) for file in images]
    else:
        targets = [(path, out)] if path.is_file() and out.suffix == ".png" else []
    if not targets:
        raise ValueError(
            "There is nothing to draw. Expected an image and a .png file to write, or a folder "
            f"with {', '.join(IMAGES)} and a folder to write to. Received: {path} and {out}."
        )
    places = [target.resolve() for _, target in targets]
    if len(set(places)) < len(places) or {source.resolve() for source, _ in targets} & {*places}:
        raise ValueError(
            "Maps need files of their own. Expected a place apart from the images, and image names "
            f"that differ before the suffix. Received: {path} and {out}."
        )
    return targets

"""Crops through a classifier against one pass of the converted network.

    python benchmarks/convert_speed.py                 grids 1x1 to 32x32, and a scene of 512 x 512
    python benchmarks/convert_speed.py --grids 1 4     quick
    python benchmarks/convert_speed.py --head average  the VGG-like net with average pooling
    python benchmarks/convert_speed.py --scene model.keras   the scene with a trained digits-fcn

For a window of n pixels, stride S and a grid of g x g windows, the image has n + (g - 1) S pixels.
Both ways compute the same g x g classifications; the ratio of their multiplications bounds what
conversion can save. Both are compiled functions of NumPy images, without XLA. Crops are batched by
16, 64 and 256, and the fastest counts. The ways take turns: in a turn each runs for 0.2 s (at least
once) and gives the median; told is the median over the turns.
"""

import argparse
import time
from pathlib import Path

import keras
import numpy as np
from keras import layers

import keras_metric as km
from zoo.files import write_json, write_text

BATCHES = (16, 64, 256)
COLUMNS = ("case", "crops", "converted", "ratio", "limit", "share", "batch", "difference")


def vgg_like(head: str, size: int = 64) -> keras.Model:
    """Convolutions of 16, 32, 64 channels in pairs, three poolings: stride 8, padding 'valid'."""
    image = x = keras.Input((size, size, 3))
    for channels in (16, 32, 64):
        for _ in range(2):
            x = layers.Conv2D(channels, 3, activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    if head == "flatten":
        x = layers.Dense(128, activation="relu")(layers.Flatten()(x))
    else:
        x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(10)(x))


def scene(path: str | None) -> tuple[keras.Model, np.ndarray]:
    """The classifier of digits-fcn, trained or as built, and a scene of 512 x 512."""
    import zoo
    from zoo.datasets.sources import digit_scenes

    busy = {"glyphs": (60, 90), "strokes": (20, 30), "fragments": (20, 30)}
    image = digit_scenes.load("test", 512, **busy)[0].image[None].astype("float32")
    recipe = zoo.get("digits-fcn")
    model = (
        zoo.load(path)
        if path
        else recipe.build(recipe.settings, recipe.data(recipe.settings, None))
    )
    return model, image


def multiplications(model: keras.Model, sides: tuple[int, int]) -> int:
    """Of all convolutions and Dense layers, for one image of these sides."""
    shape, total = (None, *sides, model.input_shape[-1]), 0
    for layer in model.layers[1:]:
        out = layer.compute_output_shape(shape)
        if isinstance(layer, (layers.Conv2D, layers.Dense)):
            positions = int(np.prod(out[1:-1], dtype=int))
            total += positions * int(np.prod(layer.kernel.shape))
        shape = out
    return total


def turn(run, least: float = 0.2) -> float:
    """Median seconds of a run, over runs for `least` seconds."""
    times = []
    while not times or sum(times) < least:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def compare(case: str, model: keras.Model, image: np.ndarray, repeats: int) -> dict:
    """Both ways over one image `(1, H, W, C)`: seconds, their ratio, and its limit."""
    fcn = km.convert.to_fully_convolutional(model)
    size = model.input_shape[1]
    stride = int(km.convert.geometry(fcn, size=image.shape[1:3]).stride[0])
    windows = np.lib.stride_tricks.sliding_window_view(image[0], (size, size), (0, 1))
    windows = np.moveaxis(windows[::stride, ::stride], 2, -1)
    grid = windows.shape[:2]
    places = [divmod(k, grid[1]) for k in range(grid[0] * grid[1])]
    crop, scan = compiled(model), compiled(fcn)

    def by_crops(batch: int):
        labels = []
        for start in range(0, len(places), batch):
            rows, columns = zip(*places[start : start + batch], strict=True)
            labels.append(np.asarray(crop(windows[list(rows), list(columns)])))
        return np.concatenate(labels).reshape(*grid, -1)

    def by_conversion():
        return np.asarray(scan(image))[0]

    difference = float(np.abs(by_crops(64) - by_conversion()).max())
    sizes = [batch for batch in BATCHES if batch <= len(places)] or [len(places)]
    batch = min(sizes, key=lambda b: min(turn(lambda: by_crops(b)) for _ in range(2)))
    turns = [(turn(lambda: by_crops(batch)), turn(by_conversion)) for _ in range(repeats)]
    slow, fast = np.median(turns, axis=0).tolist()
    limit = len(places) * multiplications(model, (size, size))
    limit /= multiplications(fcn, image.shape[1:3])
    values = (case, slow, fast, slow / fast, limit, slow / fast / limit, batch, difference)
    return dict(zip(COLUMNS, values, strict=True))


def compiled(model):
    """The model as a compiled function of free image size, without XLA."""
    if keras.backend.backend() != "tensorflow":
        return lambda x: keras.ops.convert_to_numpy(model(x))
    import tensorflow as tf

    shape = [None, *(model.input_shape[1:])]
    return tf.function(model, input_signature=[tf.TensorSpec(shape, tf.float32)])


def line(row: dict) -> str:
    return (
        f"| {row['case']} | {1000 * row['crops']:.3g} ms | {1000 * row['converted']:.3g} ms | "
        f"{row['ratio']:.1f} | {row['limit']:.1f} | {row['share']:.0%} | {row['batch']} | "
        f"{row['difference']:.0e} |"
    )


def cases(options: argparse.Namespace):
    """Name, classifier and image of every row."""
    rng, model = np.random.default_rng(0), vgg_like(options.head)
    for grid in options.grids:
        side = 64 + (grid - 1) * 8
        image = rng.standard_normal((1, side, side, 3)).astype("float32")
        yield f"{options.head} head, {grid} x {grid}", model, image
    if options.scene is not None:
        yield "digit scene, 512 x 512", *scene(options.scene or None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grids", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--head", choices=["flatten", "average"], default="flatten")
    parser.add_argument("--scene", nargs="?", const="", default="", metavar="MODEL")
    parser.add_argument("--no-scene", dest="scene", action="store_const", const=None)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    print(*lines, sep="\n")
    rows = []
    for case in cases(options):
        rows.append(compare(*case, options.repeats))
        lines.append(line(rows[-1]))
        print(lines[-1], flush=True)
    name = f"convert_speed_{options.head}"
    write_text(options.out / f"{name}.md", "\n".join(lines) + "\n")
    write_json(options.out / f"{name}.json", {"backend": keras.backend.backend(), "rows": rows})


if __name__ == "__main__":
    main()

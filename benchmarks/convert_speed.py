"""Crops through a classifier against one pass of the converted network.

    python benchmarks/convert_speed.py                 grids 1x1 to 32x32, the VGG-like net
    python benchmarks/convert_speed.py --grids 1 4     quick
    python benchmarks/convert_speed.py --head average

For a window of n pixels, stride S and a grid of g x g windows, the image has n + (g - 1) S pixels.
Both ways compute the same g x g classifications; the ratio of their multiplications bounds what
conversion can save. Crops are batched by 64. Runs alternate and the fastest of each counts.
"""

import argparse
import time

import keras
import numpy as np
from keras import layers

import keras_metric as km


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


def multiplications(model: keras.Model, size: int) -> int:
    """Of all convolutions and Dense layers, for one image of `size` pixels."""
    shape, total = (None, size, size, 3), 0
    for layer in model.layers[1:]:
        out = layer.compute_output_shape(shape)
        if isinstance(layer, (layers.Conv2D, layers.Dense)):
            positions = int(np.prod(out[1:-1], dtype=int))
            total += positions * int(np.prod(layer.kernel.shape))
        shape = out
    return total


def seconds(run, repeats: int) -> list[float]:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def compare(model, fcn, grid: int, size: int, stride: int, repeats: int) -> dict:
    image = np.random.default_rng(0).standard_normal((1, *(size + (grid - 1) * stride,) * 2, 3))
    image = image.astype("float32")
    places = [(i * stride, j * stride) for i in range(grid) for j in range(grid)]
    crop, scan = keras_function(model), keras_function(fcn)

    def by_crops():
        labels = []
        for start in range(0, len(places), 64):
            part = places[start : start + 64]
            crops = [image[0, i : i + size, j : j + size] for i, j in part]
            labels.append(np.asarray(crop(np.stack(crops))))
        return np.concatenate(labels).reshape(grid, grid, -1)

    def by_conversion():
        return np.asarray(scan(image))[0]

    difference = float(np.abs(by_crops() - by_conversion()).max())
    slow, fast = [], []
    for _ in range(repeats):
        slow += seconds(by_crops, 1)
        fast += seconds(by_conversion, 1)
    limit = grid**2 * multiplications(model, size) / multiplications(fcn, image.shape[1])
    return {
        "crops": min(slow),
        "converted": min(fast),
        "ratio": min(slow) / min(fast),
        "limit": limit,
        "difference": difference,
    }


def keras_function(model):
    """The model as a compiled function of free image size, without XLA."""
    if keras.backend.backend() != "tensorflow":
        return lambda x: keras.ops.convert_to_numpy(model(x))
    import tensorflow as tf

    shape = [None, *(model.input_shape[1:])]
    return tf.function(model, input_signature=[tf.TensorSpec(shape, tf.float32)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grids", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--head", choices=["flatten", "average"], default="flatten")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    size = 64
    keras.utils.set_random_seed(0)
    model = vgg_like(options.head, size)
    fcn = km.convert.to_fully_convolutional(model)
    stride = int(km.convert.geometry(fcn).stride[0])
    print(f"{options.head} head, window {size}, stride {stride}, {keras.backend.backend()}")
    print("grid   crops (s)  converted (s)  ratio  limit by multiplications  share  difference")
    for grid in options.grids:
        row = compare(model, fcn, grid, size, stride, options.repeats)
        print(
            f"{grid:2d}x{grid:<2d} {row['crops']:11.4f} {row['converted']:14.4f} "
            f"{row['ratio']:6.1f} {row['limit']:25.1f} {row['ratio'] / row['limit']:6.0%} "
            f"{row['difference']:11.1e}"
        )


if __name__ == "__main__":
    main()

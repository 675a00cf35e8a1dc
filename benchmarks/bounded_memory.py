"""Peak memory of one forward and backward pass of a large batch, in row blocks, on the CPU.

    python benchmarks/bounded_memory.py triplet --batch 65536 --dims 128 --rows 64

Prints, as JSON, the bytes by which the peak of the process (VmHWM) exceeds its size before the
pass, and the seconds it took. A batch whose distances alone take 16 GiB stays below 2 GiB.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def memory(field: str) -> int:
    """VmHWM (the peak so far) or VmRSS (the size now) of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def step(loss, labels, embeddings):
    """Value and gradient, in one graph."""
    import tensorflow as tf

    @tf.function
    def both(labels, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(labels, x)
        return value, tape.gradient(value, x)

    return both(tf.constant(labels), tf.constant(embeddings))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("loss", choices=["triplet", "infonce"])
    parser.add_argument("--batch", type=int, default=65_536)
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--images-a-class", type=int, default=4)
    options = parser.parse_args()

    import numpy as np

    from keras_metric import losses

    build = {"triplet": losses.TripletLoss, "infonce": losses.InfoNCELoss}[options.loss]
    loss = build(rows_per_block=options.rows)
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(options.batch, options.dims)).astype("float32")
    labels = np.arange(options.batch) // options.images_a_class
    few = slice(0, 2 * options.rows)
    step(loss, labels[few], embeddings[few])  # what TensorFlow itself needs is the baseline
    before, began = memory("VmRSS"), time.monotonic()
    value, gradient = step(loss, labels, embeddings)
    report = {
        "loss": options.loss,
        "batch": options.batch,
        "dims": options.dims,
        "rows_per_block": options.rows,
        "value": float(value),
        "largest_gradient": float(np.abs(gradient).max()),
        "peak_bytes_above_baseline": memory("VmHWM") - before,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()

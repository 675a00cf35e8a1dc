"""Memory and time of a training step under a head of very many classes, whole and sampled.

    python benchmarks/many_classes.py --classes 200000 1000000 --sample 100000 --out classes.json

Every cell is a `fit` of an encoder and a head in a process of its own, on the CPU: the bytes by
which the peak of the first step exceeds the process with its weights, the same in copies of the
(B, classes) matrix, and the processor's seconds of a step. Prints a Markdown table; stopped, it
goes on with the cells that are missing.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from peaks import MIB, baseline, fill, memory, serve

BACKENDS = ("tensorflow", "jax", "torch")
STEPS = 3


def model_of(head, *, classes, dims, sample):
    import keras

    from keras_metric import heads
    from keras_metric.memory import PartialFC

    keras.utils.set_random_seed(0)
    encoder = keras.Sequential([keras.Input((dims,)), keras.layers.Dense(dims)])
    layer = getattr(heads, head)(classes)
    if sample:
        model = PartialFC(encoder, layer, sample)
    else:
        model = keras.Sequential([keras.Input((dims,)), *encoder.layers, layer])
    model.compile(keras.optimizers.SGD(0.01), layer.loss())
    return model


def measured(*, head, classes, batch, dims, sample):
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * batch, dims)).astype("float32")

    def fit(model, classes, steps):
        labels = np.random.default_rng(1).integers(0, classes, STEPS * batch)
        few = slice(0, batch * steps)
        history = model.fit(x[few], labels[few], batch_size=batch, shuffle=False, verbose=0)
        return history.history["loss"][0]

    few = model_of(head, classes=256, dims=dims, sample=sample and 128)
    fit(few, 256, 1)  # what the backend itself needs is in the baseline
    start = baseline()
    model = model_of(head, classes=classes, dims=dims, sample=sample)
    baseline()
    loss = fit(model, classes, 1)
    # with what making the weights has left free: a step may use it again
    peak = memory("VmHWM") - start - sum(4 * np.prod(w.shape) for w in model.trainable_variables)
    began = time.process_time()
    fit(model, classes, STEPS)
    seconds = (time.process_time() - began) / STEPS
    copies = float(peak / (4 * batch * classes))
    return {
        "loss": loss,
        "peak_bytes": int(peak),
        "copies": copies,
        "cpu_seconds": seconds,
    }


def table(done: dict) -> str:
    lines = [
        "| backend | head | classes | a step compares | peak above the baseline | copies of "
        "B x classes | CPU time of a step |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, cell in done.items():
        compared = f"{cell['sample'] or cell['classes']:,}"
        if "failed" in cell:
            numbers = [cell["failed"], "", ""]
        else:
            mib, copies = cell["peak_bytes"] / MIB, cell["copies"]
            numbers = [f"{mib:,.0f} MiB", f"{copies:.1f}", f"{cell['cpu_seconds']:.2f} s"]
        row = [key.split()[0], cell["head"], f"{cell['classes']:,}", compared, *numbers]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", nargs="?", choices=["cells"], help=argparse.SUPPRESS)
    parser.add_argument("--classes", type=int, nargs="+", default=[200_000, 1_000_000])
    parser.add_argument("--sample", type=int, nargs="+", default=[0, 100_000], help="0: all")
    parser.add_argument("--heads", nargs="+", default=["ArcFace"])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--seconds", type=int, default=600, help="what a cell may take")
    parser.add_argument("--out", type=Path, default=Path("many-classes.json"))
    options = parser.parse_args()
    if options.command == "cells":
        import keras_metric.memory  # noqa: F401 (imported once, for every copy)

        return serve(measured, options.seconds)
    done = {}
    for backend in options.backends:
        cells = {
            f"{backend} {head} {classes} {sample}": {
                "head": head,
                "classes": classes,
                "batch": options.batch,
                "dims": options.dims,
                "sample": sample,
            }
            for head in options.heads
            for classes in options.classes
            for sample in options.sample
            if sample < classes
        }
        done = fill(options.out, cells, __file__, backend, options.seconds)
    print(table(done))
    return None


if __name__ == "__main__":
    main()

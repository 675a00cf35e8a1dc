"""Peak memory of one forward and backward pass of a large batch, in row blocks, on the CPU.

    python benchmarks/bounded_memory.py TripletLoss --batch 65536 --dims 128 --rows 64
    python benchmarks/bounded_memory.py every --batch 4096 16384 --out memory.json

Prints, as JSON, the bytes by which the peak of the process exceeds its size before the pass, and
the processor's seconds. A batch whose distances alone take 16 GiB stays below 2 GiB.

`every` measures each loss on each backend, eager and traced, with and without XLA, every cell in
a process of its own, and prints a Markdown table; stopped, it goes on with the missing cells.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from peaks import MIB, baseline, fill, memory, serve

MODES = {"tensorflow": ("eager", "traced", "xla"), "jax": ("eager", "xla"), "torch": ("eager",)}
USUAL = {"tensorflow": "traced", "jax": "xla", "torch": "eager"}  # in `fit`
MININGS = ("hardest_semi_hard", "hard", "easy_positive", "all")
CUBIC = ("AngularLoss", "PNPLoss", "SmoothAPLoss")  # O(B^3): measured on two blocks of anchors


def names() -> list[str]:
    """Every loss with `rows_per_block`, TripletLoss once a mining: "TripletLoss hard"."""
    from keras_metric import losses

    of_pairs = [n for n in losses.__all__ if issubclass(getattr(losses, n), losses.PairLoss)]
    swapped = ["TripletLoss hard swap"]
    return sorted([*of_pairs, *(f"TripletLoss {mining}" for mining in MININGS), *swapped])


def build(name: str, rows: int):
    from keras_metric import losses

    kind, *rest = name.split()
    options = {"mining": rest[0], "swap": "swap" in rest} if rest else {}
    return getattr(losses, kind)(rows_per_block=rows, **options)


def of_tensorflow(function, mode):
    import tensorflow as tf

    def both(labels, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(labels, x)
        return value, tape.gradient(value, x)

    if mode != "eager":
        both = tf.function(both, jit_compile=mode == "xla")
    return lambda labels, x: both(tf.constant(labels), tf.constant(x))


def of_jax(function, mode):
    import jax

    both = jax.value_and_grad(lambda x, labels: function(labels, x))
    both = both if mode == "eager" else jax.jit(both)
    return lambda labels, x: jax.block_until_ready(both(jax.numpy.asarray(x), labels))


def of_torch(function, mode):
    import torch

    def both(labels, x):
        x = torch.tensor(x, requires_grad=True)
        value = function(torch.tensor(labels), x)
        value.backward()
        return value.detach(), x.grad

    return both


STEPS = {"tensorflow": of_tensorflow, "jax": of_jax, "torch": of_torch}


def measured(name, mode, *, batch, dims, rows, anchors, images_a_class):
    """One cell, in this process: value and gradient of a batch, or of its first anchors."""
    import numpy as np

    loss = build(name, rows)

    def function(labels, x):
        if not anchors:
            return loss(labels, x)
        return loss.loss_against(labels[:anchors], x[:anchors], labels, x, 0)

    step = STEPS[os.environ["KERAS_BACKEND"]](function, mode)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, dims)).astype("float32")
    labels = (np.arange(batch) // images_a_class).astype("int32")
    few = slice(0, max(4 * rows, anchors or 0))
    step(labels[few], x[few])  # what the backend itself needs is the baseline
    before, began = baseline(), time.process_time()
    value, gradient = step(labels, x)
    return {
        "name": name,
        "backend": os.environ["KERAS_BACKEND"],
        "mode": mode,
        "batch": batch,
        "dims": dims,
        "rows_per_block": rows,
        "anchors": anchors or batch,
        "value": float(value),
        "largest_gradient": float(np.abs(np.asarray(gradient)).max()),
        "peak_bytes_above_baseline": memory("VmHWM") - before,
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def cells(options, backend):
    for batch in options.batch:
        for name in options.only or names():
            few = options.anchors or (2 * options.rows if name in CUBIC else None)
            for mode in options.modes or MODES[backend]:
                if mode in MODES[backend]:
                    yield {
                        "name": name,
                        "mode": mode,
                        "batch": batch,
                        "dims": options.dims,
                        "rows": options.rows,
                        "anchors": few,
                        "images_a_class": options.images_a_class,
                    }


def every(options) -> None:
    for backend in options.backends or MODES:
        wanted = {
            f"{backend} {cell['mode']} {cell['batch']} {cell['name']}": cell
            for cell in cells(options, backend)
        }
        done = fill(Path(options.out), wanted, __file__, backend, options.seconds)
    print(table(done))


def shown(cell: dict) -> str:
    if not cell:
        return ""
    if "failed" in cell:
        return cell["failed"]
    mib = f"{cell['peak_bytes_above_baseline'] / MIB:,.0f}"
    return mib if cell["anchors"] == cell["batch"] else f"{mib} ({cell['anchors']:,})"


def table(done: dict) -> str:
    """MiB above the baseline, a row a loss and a column a backend, mode and size."""
    ways = [(backend, mode) for backend in MODES for mode in MODES[backend]]
    sizes = sorted({cell["batch"] for cell in done.values()})
    columns = [
        (*way, size)
        for way in ways
        for size in sizes
        if any(key.startswith(f"{way[0]} {way[1]} {size} ") for key in done)
    ]
    lines = ["| loss | " + " | ".join(f"{b} {m} {s:,}" for b, m, s in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for name in sorted({cell["name"] for cell in done.values()}):
        row = [shown(done.get(f"{b} {m} {s} {name}", {})) for b, m, s in columns]
        lines.append(f"| {name} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("loss", help="a loss such as TripletLoss or 'TripletLoss hard', or: every")
    parser.add_argument("--batch", type=int, nargs="+", default=[65_536])
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--images-a-class", type=int, default=4)
    parser.add_argument("--anchors", type=int, help="only so many anchors against the whole batch")
    parser.add_argument("--modes", nargs="+", choices=["eager", "traced", "xla"])
    parser.add_argument("--only", nargs="+", help="of every: these losses")
    parser.add_argument("--backends", nargs="+", choices=list(MODES))
    parser.add_argument("--seconds", type=int, default=900, help="of every: what a cell may take")
    parser.add_argument("--out", default="bounded-memory.json", help="of every: the cells so far")
    options = parser.parse_args()
    if options.loss == "every":
        return every(options)
    if options.loss == "cells":
        from keras_metric import losses  # noqa: F401 (imported once, for every copy)

        return serve(measured, options.seconds)
    report = measured(
        options.loss,
        (options.modes or [USUAL[os.environ["KERAS_BACKEND"]]])[0],
        batch=options.batch[0],
        dims=options.dims,
        rows=options.rows,
        anchors=options.anchors,
        images_a_class=options.images_a_class,
    )
    print(json.dumps(report))
    return None


if __name__ == "__main__":
    main()

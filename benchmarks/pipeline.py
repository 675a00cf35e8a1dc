"""What share of a training step the data takes: loading, drawing of batches, augmentation.

    python benchmarks/pipeline.py --data FOLDER
    python benchmarks/pipeline.py omniglot-triplet --steps 20 --rounds 3

In turns: making batches alone; training steps on a batch that is ready; `fit` over the batches, as
the recipes train. Told are the fastest turns, in milliseconds a step (one in which the system puts
two threads on one core takes 1.6 times as long), and two shares: the work of the data over that of
a step, and what `fit` takes beyond a step on a ready batch.
"""

import argparse
import os
import time
from pathlib import Path

import keras

import zoo
from zoo.files import write_json, write_text

RECIPES = ("omniglot-infonce", "omniglot-triplet", "omniglot-siamese", "clothing-triplet")
COLUMNS = ("recipe", "batch", "step", "fit", "data/step", "waiting", "images/s")


def measure(name: str, data: str | None, steps: int, rounds: int) -> dict:
    """A row of the table for one recipe, as it trains with its own values."""
    recipe = zoo.get(name)
    settings = recipe.resolve_settings({"batches_per_epoch": steps})
    keras.utils.set_random_seed(settings["seed"])
    split = recipe.data(settings, data)
    experiment = recipe.experiment(settings, recipe.build(settings, split), split)
    model, batches = experiment.model, experiment.batches
    images, _ = batches[0]
    ready = _Ready(batches[0], steps)
    ways = {
        "batch": lambda: [batches[number] for number in range(steps)],
        "step": lambda: model.fit(ready, epochs=1, verbose=0, shuffle=False),
        "fit": lambda: model.fit(batches, epochs=1, verbose=0, shuffle=False),
    }
    for run in ways.values():
        run()
    times = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            times[way].append((time.perf_counter() - start) / steps)
    batch, step, fit = (min(times[way]) for way in ways)
    count = sum(len(part) for part in keras.tree.flatten(images))
    values = (name, 1e3 * batch, 1e3 * step, 1e3 * fit, batch / step, fit / step - 1, count / fit)
    return dict(zip(COLUMNS, values, strict=True))


class _Ready(keras.utils.PyDataset):
    """The same batch again and again: an epoch that costs no data."""

    def __init__(self, batch, steps: int):
        super().__init__()
        self.batch, self.steps = batch, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int):
        return self.batch


def line(row: dict) -> str:
    name, batch, step, fit, share, waiting, rate = (row[column] for column in COLUMNS)
    return (
        f"| {name} | {batch:.1f} ms | {step:.1f} ms | {fit:.1f} ms | {share:.1%} | {waiting:.1%} | "
        f"{rate:,.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", default=RECIPES, metavar="RECIPE")
    parser.add_argument("--data", metavar="FOLDER")
    parser.add_argument("--steps", type=int, default=20, help="steps a turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each; the fastest is kept")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    print(*lines, sep="\n")
    rows = []
    for name in options.recipes:
        rows.append(measure(name, options.data, options.steps, options.rounds))
        lines.append(line(rows[-1]))
        print(lines[-1], flush=True)
    machine = {"backend": keras.backend.backend(), "cores": os.cpu_count(), "load": os.getloadavg()}
    write_text(options.out / "pipeline.md", "\n".join(lines) + "\n")
    write_json(options.out / "pipeline.json", {**machine, "rows": rows})


if __name__ == "__main__":
    main()

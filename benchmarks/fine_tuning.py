"""What each part of fine-tuning is worth: the defaults of `keras-metric train`, one part changed.

    python benchmarks/fine_tuning.py PHOTOS --epochs 3 --seeds 1

PHOTOS is a folder with a sub-folder for each class. Every row is a training from the same split,
measured on photographs that none learned from; prints a Markdown table with the processor's
seconds. Runs lie in `--out`; stopped, the same command goes on with what is missing.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

MEASURES = ("recall@1", "map@r", "accuracy")
ROWS = {
    "as `train` does by default": {},
    "from a random embedding, not from discriminants": {"start": "random"},
    "no smoothed labels": {"label_smoothing": 0.0},
    "every layer learns": {"frozen": 0.0},
    "the lower half of the layers frozen": {"frozen": 0.5},
    "one learning rate for all layers": {"first_rate": 1.0},
    "averaged weights (EMA)": {"ema": True},
    "semi-hard triplets": {"loss": "triplet"},
    "letterboxed, not stretched": {"resize": "letterbox"},
}


def trained(photos: str, row: str, settings: dict, seed: int, options) -> dict:
    import zoo

    place = Path(options.out) / f"{row.replace(' ', '-').replace('`', '')}-{seed}"
    given = {"photos": photos, "epochs": options.epochs, "seed": seed, **settings}
    return zoo.train("photographs", place, settings=given)


def line(name: str, found: list[dict], seconds: float | None = None) -> str:
    means = [sum(one[key] for one in found) / len(found) for key in MEASURES]
    cells = [f"{mean:.3f}" for mean in means] + ["" if seconds is None else f"{seconds:.0f}"]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1, help="the mean of so many trainings")
    parser.add_argument("--rows", nargs="*", metavar="TEXT", help="only rows with such a text")
    parser.add_argument("--out", default="benchmarks/results/fine_tuning")
    options = parser.parse_args()
    asked = options.rows or [""]
    rows = {row: ROWS[row] for row in ROWS if any(text in row for text in asked)}
    lines = []
    for row, settings in rows.items():
        seeds = range(options.seeds)
        reports = [trained(options.photos, row, settings, seed, options) for seed in seeds]
        if not lines:
            baselines = reports[0]["baselines"]
            lines += [line(f"no training: {name}", [baselines[name]]) for name in baselines]
        seconds = sum(report["training"]["cpu_seconds"] for report in reports) / len(reports)
        lines.append(line(row, [report["results"] for report in reports], seconds))
    print(f"\n| | {' | '.join(MEASURES)} | CPU-seconds |\n|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

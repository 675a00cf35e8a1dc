"""Evaluate a one-shot encoder: error by alphabet over seeds, training curves, maps of its errors.

    keras-metric train omniglot-infonce --seeds 3
    python examples/03_one_shot_errors.py out/omniglot-infonce

Errors are those of the runs on alphabets that were not used for training. The gallery shows errors
of the first run with the maps of what made the drawings similar (SimilarityCAM).
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import zoo
from keras_metric.plots import save_png
from zoo.encoders.ensemble import members
from zoo.reports.one_shot_pictures import errors
from zoo.runs.runs import Run


def main(folder: Path, data: str | None = None) -> None:
    report = Run(folder).report()
    runs = [Run(folder / name) for name in report["runs"]] if "runs" in report else [Run(folder)]
    reports = [run.report() for run in runs]
    names = list(reports[0]["results"])
    values = np.array([[one["results"][name] for name in names] for one in reports])
    print(f"{report['recipe']}, {len(runs)} seeds: mean (least to greatest)")
    for name, of_seeds in zip(names, values.T, strict=True):
        print(f"  {name}: {of_seeds.mean():.2f} ({of_seeds.min():.2f} to {of_seeds.max():.2f})")

    recipe = zoo.get(report["recipe"])
    unseen = recipe.data(
        recipe.resolve_settings(reports[0]["settings"]), data
    ).validation  # in frames
    wrong = errors(members(zoo.load(runs[0].folder))[0], unseen)
    pictures = {"one-shot.png": drawn(names, values, [one["history"] for one in reports])}
    pictures |= {name: picture.figure for name, picture in wrong.items()}
    (folder / "pictures").mkdir(exist_ok=True)
    print("Look at:")
    for file, figure in pictures.items():
        save_png(figure, folder / "pictures" / file)
        print(f"  {folder / 'pictures' / file}")


def drawn(names: list[str], values: np.ndarray, histories: list[list[dict]]) -> Figure:
    """Errors of all and of each alphabet, a dot a seed; the loss of each seed by epoch."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    left.barh(names, values.mean(0), color="lightsteelblue")
    for of_seed in values:
        left.plot(of_seed, names, "k.", markersize=5)
    left.invert_yaxis()
    left.set(xlabel="per cent", xlim=(0, None))
    for number, history in enumerate(histories):
        for key, style in (("loss", "-"), ("val_loss", "--")):
            logged = [logs[key] for logs in history if key in logs]
            label = {"loss": "training", "val_loss": "validation"}[key] if not number else None
            right.plot(range(1, len(logged) + 1), logged, style, color=f"C{number}", label=label)
    right.legend(frameon=False)
    right.set(xlabel="epoch", ylabel="loss, a colour a seed")
    return figure


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/omniglot-infonce"), *sys.argv[2:3])

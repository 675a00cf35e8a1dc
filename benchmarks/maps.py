"""What a map costs, here and elsewhere: time as a ratio to one forward pass of the same net.

    python benchmarks/peers/make.py pytorch-grad-cam torchcam captum tf-keras-vis tf-explain xplique
    python benchmarks/maps.py                                   the small net, everyone
    python benchmarks/maps.py --net ResNet50 --peers keras-metric
    python benchmarks/maps.py --net ViT --peers keras-metric    maps of attention

The forward pass is a `tf.function` of `model(x, training=False)`, or torch under `no_grad`, from
the batch to a NumPy answer, in the process and the environment of the contender. One thread.
Writes `maps-NET.json`, `.md` and `.png`; a contender that cannot run is a row with the reason.
"""

import argparse
import json
import subprocess
from pathlib import Path

from cells import ROOT, environment
from maps_contenders import CONTENDERS, ON_TORCH
from tables import machine

from zoo.files import write, write_json, write_text

NETS = ("small", "MobileNetV2", "ResNet50", "ViT")


def measured(contender: str, net: str, batch: int, rounds: int) -> dict:
    """Ratios by name and the seconds of the forward pass, or `failed` and why."""
    if net != "small" and contender in ON_TORCH:
        return {"failed": "this net is a Keras model"}
    python, variables = environment(contender)
    if not python.exists():
        return {"failed": "no environment: run benchmarks/peers/make.py"}
    variables["PYTHONPATH"] = str(ROOT) if contender == "keras-metric" else ""
    script = Path(__file__).with_name("maps_contenders.py")
    done = subprocess.run(
        [python, script, contender, net, str(batch), str(rounds)],
        env=variables, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        words = [line for line in done.stderr.splitlines() if line.strip()]
        return {"failed": (words[-1] if words else f"exit code {done.returncode}")[:160]}
    seconds = json.loads(done.stdout.splitlines()[-1])
    forward = seconds.pop("forward")
    return {"forward": forward, "ratios": {name: s / forward for name, s in seconds.items()}}


def table(net: str, found: dict[str, dict]) -> str:
    """A row for each map of each contender, a column for each batch size."""
    batches = list(next(iter(found.values())))
    lines = [f"| {net} | map | " + " | ".join(f"B = {b}" for b in batches) + " |"]
    lines.append("|---|---|" + "---|" * len(batches))
    for contender, cells in found.items():
        reasons = [cell["failed"] for cell in cells.values() if "failed" in cell]
        if reasons:
            lines.append(f"| {contender} | does not run: {reasons[0]} |" + " |" * len(batches))
            continue
        for name in cells[batches[0]]["ratios"]:
            ratios = [f"{cells[b]['ratios'][name]:.2f}" for b in batches]
            lines.append(f"| {contender} | {name} | " + " | ".join(ratios) + " |")
    return "\n".join(lines) + "\n"


def chart(net: str, found: dict[str, dict], path: Path) -> None:
    """Bars of the ratios, the methods that several contenders have beside one another."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    done = {
        c: cells for c, cells in found.items() if not any("failed" in x for x in cells.values())
    }
    rows = [(c, name) for c, cells in done.items() for name in next(iter(cells.values()))["ratios"]]
    if not rows:
        return
    figure, axis = plt.subplots(figsize=(9, 0.36 * len(rows) + 1.2))
    batches = list(next(iter(done.values())))
    height = 0.8 / len(batches)
    for number, batch in enumerate(batches):
        places = [i + height * (number - (len(batches) - 1) / 2) for i in range(len(rows))]
        ratios = [done[c][batch]["ratios"][name] for c, name in rows]
        bars = axis.barh(places, ratios, height, label=f"B = {batch}")
        axis.bar_label(bars, fmt="%.2f", fontsize=7, padding=2)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_yticks(range(len(rows)), [f"{c}: {name}" for c, name in rows], fontsize=8)
    axis.invert_yaxis()
    axis.set(xscale="log", xlabel="time / time of one forward pass", title=f"A map's cost, {net}")
    axis.margins(x=0.12)
    axis.legend()
    write(path, lambda beside: figure.savefig(beside, dpi=120, bbox_inches="tight"))
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--net", choices=NETS, default="small")
    add("--peers", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME",
        help=f"of {', '.join(CONTENDERS)}")  # fmt: skip
    add("--batches", type=int, nargs="+", default=[1, 16])
    add("--rounds", type=int, default=300, help="calls of each at B = 1; fewer for larger batches")
    add("--out", type=Path, default=Path(__file__).parent / "results", metavar="FOLDER")
    chosen = parser.parse_args()
    found = {c: {} for c in chosen.peers}
    for contender in found:
        for batch in chosen.batches:
            rounds = max(7, chosen.rounds // batch)
            found[contender][batch] = measured(contender, chosen.net, batch, rounds)
    stem = chosen.out / f"maps-{chosen.net}"
    text = table(chosen.net, found)
    write_text(stem.with_suffix(".md"), text)
    write_json(stem.with_suffix(".json"), {"machine": machine(), "found": found})
    chart(chosen.net, found, stem.with_suffix(".png"))
    print(text)


if __name__ == "__main__":
    main()

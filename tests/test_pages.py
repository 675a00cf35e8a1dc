"""The pages tell the truth: their code runs, top to bottom, as written, and so would commands."""

import inspect
import json
import re
from functools import reduce
from pathlib import Path

import numpy as np
import pytest

import keras_metric as km
from keras_metric.cam import METHODS
from zoo import encoders
from zoo.cli import parser

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = ("maps", "locate", "demo")
LISTED = {  # what, where: the page and its sections
    "losses": (
        set(km.losses.__all__),
        "losses",
        (
            "Losses on distances",
            "Triplets found in the batch",
            "Pairs",
            "Softmax over the batch",
            "Structure beyond the anchor's row",
            "Rankings",
            "Two views, no labels",
        ),
    ),
    "heads": (set(km.heads.__all__), "losses", ("Heads",)),
    "miners": (
        {*km.miners.__all__, *km.miners.names()} - {"get", "names"},
        "losses",
        ("Miners",),
    ),
    "distances": (set(km.distances.names()), "losses", ("Distances",)),
    "metrics": (set(km.metrics.__all__), "metrics", ()),
    "map methods": (set(METHODS), "maps", ("Why this class",)),
    "encoders": (
        {name for name in encoders.names() if not name.startswith("keras.applications.")},
        "encoders",
        (),
    ),
}


OTHERS = DOCS.parent / "tests" / "reference" / "pytorch_metric_learning.npz"


@pytest.fixture
def here(tmp_path, monkeypatch, real_data):
    """A working folder in which the recipes that the pages name have run, untrained."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_METRIC_DATA", str(real_data))
    models = {
        "digits-cam": encoders.build("grid", (None, None, 1), classes=10),
        "omniglot-locate": encoders.build("valid", (28, 28, 1), embedding=64, normalize=True),
    }
    for name, model in models.items():
        Path("out", name).mkdir(parents=True)
        model.save(Path("out", name, "model.keras"))
    yield tmp_path
    METHODS.pop("positive", None)


def run(page: str) -> dict:
    text, names = (DOCS / f"{page}.md").read_text(encoding="utf-8"), {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, f"docs/{page}.md", "exec"), names)
    return names


@pytest.mark.tensorflow
def test_the_code_about_maps_runs(here):
    names = run("maps")
    found = names["why"]
    np.testing.assert_allclose(found.anchor.sum((1, 2)), found.gap, atol=1e-5)
    assert names["points"].sum((1, 2, 3, 4)) == pytest.approx(names["pair"].similarity)
    assert names["seen"].shape == names["points"].shape[:1] + names["points"].shape[3:]
    assert {"map.png", "maps.html"} <= {path.name for path in here.iterdir()}


@pytest.mark.tensorflow
def test_the_code_about_locating_runs(here):
    names = run("locate")
    assert len(names["exemplars"]) == 10
    assert 0 < names["best"].score <= 1
    assert (here / "found.png").stat().st_size > 1000


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_are_understood(page):
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    keras-metric (.*)$", text, re.MULTILINE)
    assert lines
    for line in lines:
        parser().parse_args(line.split())


def names_in(page: str, sections: tuple[str, ...]) -> set[str]:
    """The names at the beginning of inline code, on a page or in some of its `##` sections."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    parts = dict(part.partition("\n")[::2] for part in re.split(r"^## ", text, flags=re.MULTILINE))
    code = re.findall(r"`([^`]+)`", "\n".join(parts[name] for name in sections or parts))
    return {re.match(r"[\w+-]*", span.removeprefix("km.metrics.")).group() for span in code}


@pytest.mark.parametrize("kind", LISTED)
def test_a_page_lists_every_public_name(kind):
    names, page, sections = LISTED[kind]
    assert names
    missing = names - names_in(page, sections)
    assert not missing, f"docs/{page}.md lists no {', '.join(sorted(missing))}"


def rows_of(page: str) -> list[list[str]]:
    """The cells of the rows of its tables, without their heads."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)
    return [cells for line in lines if "`" in (cells := re.split(r" \| ", line))[0]]


def test_the_page_about_pytorch_metric_learning_has_all_of_its_classes():
    with np.load(OTHERS) as file:
        classes = json.loads(file["about"].item())["classes"]
    assert {"TripletMarginLoss", "MPerClassSampler", "InferenceModel"} <= set(classes)
    named = {name for row in rows_of("migration-pytorch") for name in re.findall(r"`(\w+)", row[0])}
    hidden = {name for name in classes if name.startswith(("Module", "Empty", "Negative"))}
    assert sorted(set(classes) - named - hidden) == []


def test_what_the_page_about_pytorch_metric_learning_names_is_there():
    spans = [
        span for row in rows_of("migration-pytorch") for span in re.findall(r"`([^`]+)`", row[1])
    ]
    rooms = [span for span in spans if span.split(".")[0] in km._SUBMODULES and "." in span]
    assert len(rooms) > 50
    for span in rooms:
        name, _, arguments = span.partition("(")
        thing = reduce(getattr, name.split("."), km)
        given = re.findall(r"(\w+)=", arguments)
        missing = [argument for argument in given if argument not in takes(thing)]
        assert not missing, f"{name} has no argument {missing}"


def takes(thing) -> set[str]:
    """The names of the arguments of a function, or of a class and its bases."""
    makers = [vars(c).get("__init__") for c in thing.__mro__] if inspect.isclass(thing) else [thing]
    return {
        name for f in makers if inspect.isfunction(f) for name in inspect.signature(f).parameters
    }

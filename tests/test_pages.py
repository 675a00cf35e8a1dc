"""The pages tell the truth: their code runs, top to bottom, as written, and so would commands."""

import re
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

"""A card says what the report holds, and what its recipe says of itself."""

import pytest

from zoo.evaluation.evaluation import _ranges_of_each
from zoo.recipe import Recipe
from zoo.reports.cards import card
from zoo.reports.metadata import plain_front_matter

RECIPE = Recipe(
    settings={"seed": 0, "epochs": 1},
    data=None,
    build=None,
    experiment=None,
    measure=None,
    license="none",
    name="made-up",
    about="A made-up recipe.",
    protocol="Measured on the moon.",
    limits="For nothing.",
)
REPORT = {
    "command": "keras-metric train made-up",
    "settings": {"seed": 0},
    "column": "ours",
    "results": {"score": 0.5},
    "baselines": {"chance": {"score": 0.125}, "nobody": {}},
    "tables": {"By method": {"cam": {"a": 0.25, "b": 2e-6}, "none": {"b": 3.0}}},
    "data": {"train": "A", "test": "B", "license": "none"},
    "training": {"epochs": 1, "seconds": 2.0, "date": "today", "versions": {}},
    "parameters": 3,
    "pictures": {"scene.png": "A scene.", "curves.png": "The training."},
}


def test_tables_and_words_of_the_recipe_are_on_the_card():
    text = card(RECIPE, REPORT)
    assert "| | ours | chance | nobody |\n|---|---|---|---|\n| score | 0.5000 | 0.1250 |  |" in text
    assert "### By method\n\n| | a | b |\n|---|---|---|\n| cam | 0.2500 | 2.0e-06 |" in text
    assert "| none |  | 3.00 |" in text
    assert "Measured on the moon." in text
    assert text.index("limits") < text.index("For nothing.") < text.index("## Pictures")
    assert "![A scene.](pictures/scene.png)\n\nA scene.\n" in text


def test_the_budget_is_told_in_cpu_minutes():
    assert "1 epochs, 2 s; 3 parameters" in card(RECIPE, REPORT)
    training = {**REPORT["training"], "cpu_seconds": 90.0}
    assert "1 epochs, 2 s, 1.5 CPU-minutes; 3 parameters" in card(
        RECIPE, {**REPORT, "training": training}
    )


def test_tables_of_several_seeds_have_ranges():
    tables = [{"cam": {"a": 1.0}}, {"cam": {"a": 3.0}}]
    assert _ranges_of_each(tables) == {"cam": {"a": {"mean": 2.0, "min": 1.0, "max": 3.0}}}
    seeds = {**REPORT, "runs": ["seed-0", "seed-1"], "tables": {"T": _ranges_of_each(tables)}}
    text = card(RECIPE, seeds)
    assert "| cam | 2.00 (1.0000 to 3.00) |" in text
    assert "## Pictures" not in text


@pytest.mark.parametrize(
    ("licensed", "name"),
    [
        ("MIT (Lake, Omniglot)", "mit"),
        ("CC BY 4.0 (UCI)", "cc-by-4.0"),
        ("CC0", "cc0-1.0"),
        ("drawn: CC BY 4.0; printed: by the fonts", "other"),
        ("MIT (a); CC0 (b)", "other"),
        ("none", "other"),
    ],
)
def test_hubs_read_the_head_of_a_card(licensed, name):
    hub = pytest.importorskip("huggingface_hub")
    report = {**REPORT, "data": {"train": "A", "test": 'B: "5" - 9', "license": licensed}}
    report["results"] = {"recall@1": {"mean": 0.5, "min": 0.25, "max": 0.75}, "error %: a": 1e-7}
    text = card(RECIPE, report)
    data = hub.ModelCard(text, ignore_metadata_errors=False).data
    assert (data.license, data.library_name) == (name, "keras")
    assert data.get("license_name") == (licensed if name == "other" else None)
    assert data.pipeline_tag == RECIPE.task
    assert "metric-learning" in data.tags
    results = {found.metric_type: found.metric_value for found in data.eval_results}
    assert results == {"recall@1": 0.5, "error %: a": 1e-7}
    assert {found.dataset_name for found in data.eval_results} == {'B: "5" - 9'}
    assert text.count("\n# made-up\n") == 1


def test_a_card_of_which_nothing_was_measured_names_its_library():
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard("\n".join(plain_front_matter())).data
    assert (data.library_name, data.tags) == ("keras", ["keras-metric"])

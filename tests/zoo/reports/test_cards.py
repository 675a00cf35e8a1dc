"""A card says what the report holds, and what its recipe says of itself."""

from zoo.evaluation.evaluation import _ranges_of_each
from zoo.recipe import Recipe
from zoo.reports.cards import card

RECIPE = Recipe(
    settings={"seed": 0, "epochs": 1},
    data=None,
    build=None,
    objective=None,
    measure=None,
    licence="none",
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
    "data": {"train": "A", "test": "B", "licence": "none"},
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

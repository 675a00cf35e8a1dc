"""Recipes are found by file name, and their values are resolved before work begins."""

import pytest

import zoo
from zoo.recipe import FOLDER, Recipe, summary


def recipe(**settings) -> Recipe:
    nothing = (None,) * 4
    return Recipe(settings, *nothing, license="none", name="made-up")


def test_names_are_the_files():
    files = {path.stem.replace("_", "-") for path in FOLDER.glob("*.py")} - {"--init--"}
    assert set(zoo.names()) == {name for name in files if not name.startswith("-")}
    assert zoo.names("*omniglot*") == [name for name in zoo.names() if "omniglot" in name]
    assert zoo.names("no such *") == []


@pytest.mark.parametrize("name", zoo.names())
def test_every_recipe_describes_itself(name):
    found = zoo.get(name)
    assert found.name == name
    assert found.about.startswith(summary(name))
    assert len(summary(name)) > 20
    assert f"keras-metric train {name}" in found.about
    assert {"seed", "epochs"} <= found.settings.keys()


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(
        KeyError, match="Expected: one of.*Received: 'digits-tripet'.*Did you mean 'digits-triplet'"
    ):
        zoo.get("digits-tripet")


def test_settle_reads_text_as_the_type_of_the_default():
    resolved = recipe(epochs=3, margin=0.2, augment=True, encoder="simple").resolve_settings(
        {"epochs": "5", "margin": "1", "augment": "no", "encoder": "conv4"}
    )
    assert resolved == {"epochs": 5, "margin": 1.0, "augment": False, "encoder": "conv4"}
    assert isinstance(resolved["margin"], float)
    assert recipe(epochs=3).resolve_settings() == {"epochs": 3}
    assert recipe(margin=0.2).resolve_settings({"margin": 1}) == {"margin": 1.0}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "epoch",
            3,
            "Unknown setting of recipe 'made-up'.*Received: 'epoch'.*Did you mean 'epochs'",
        ),
        ("epochs", "three", "'epochs'.*Expected: int.*Received: 'three'"),
        ("epochs", 2.5, "'epochs'.*Expected: int.*Received: 2.5"),
        ("epochs", True, "'epochs'.*Expected: int.*Received: True"),
        ("augment", "perhaps", "'augment'.*Expected: bool.*Received: 'perhaps'"),
        ("augment", 1, "'augment'.*Expected: bool.*Received: 1"),
    ],
)
def test_settle_refuses(key, value, message):
    with pytest.raises((KeyError, ValueError), match=message):
        recipe(epochs=3, augment=True).resolve_settings({key: value})


def test_settings_of_a_recipe_cannot_be_changed():
    with pytest.raises(TypeError):
        recipe(epochs=3).settings["epochs"] = 4

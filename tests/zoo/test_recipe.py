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


MINE = '''
"""My own recipe of digits."""
from beside import EPOCHS

import zoo
from zoo.recipes import digits_triplet

_theirs = vars(digits_triplet.RECIPE)
RECIPE = zoo.Recipe(**{**_theirs, "settings": {**_theirs["settings"], "epochs": EPOCHS}})
'''


@pytest.fixture
def my_recipe(tmp_path):
    (tmp_path / "beside.py").write_text("EPOCHS = 1\n")
    file = tmp_path / "my_recipe.py"
    file.write_text(MINE)
    return file


def test_a_recipe_outside_the_package(my_recipe):
    found = zoo.get(my_recipe)
    assert (found.name, found.identity) == ("my-recipe", str(my_recipe))
    assert found.about == "My own recipe of digits."
    assert found.settings["epochs"] == 1


@pytest.mark.tensorflow
def test_a_recipe_outside_the_package_is_trained_and_evaluated(my_recipe, tmp_path, capsys):
    from zoo.cli import main

    small = ["--set", "batches_per_epoch=2", "--set", "embedding=8", "--out", str(tmp_path / "run")]
    assert main(["train", str(my_recipe), *small]) == 0
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    card = (tmp_path / "run" / "README.md").read_text()
    assert f"keras-metric train {my_recipe} --set batches_per_epoch=2" in card


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "is no recipe.*RECIPE = zoo.Recipe.*Received: no RECIPE"),
        ("RECIPE = 3\n", "is no recipe.*Received: int"),
        ("import nothing_like_this\n", "cannot be run.*ModuleNotFoundError"),
    ],
)
def test_a_file_that_is_no_recipe(text, message, tmp_path):
    (tmp_path / "odd.py").write_text(text)
    with pytest.raises(ValueError, match=message):
        zoo.get(tmp_path / "odd.py")
    with pytest.raises(FileNotFoundError, match="no recipe at .*none.py"):
        zoo.get("none.py")

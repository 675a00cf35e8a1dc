"""The docs: their navigation is whole, cards come from runs, and the README quotes the cards."""

import csv
import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest

import keras_metric
import zoo
from zoo.reports.metadata import front_matter

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.tensorflow  # the reference is read from imported rooms, export included
CARDS = sorted((ROOT / "docs" / "cards").glob("*.json"))
NUMBER = re.compile(r"\d+\.\d+")


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def listed(entry):
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    return [page for part in parts for page in listed(part)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "docs"
    script("build").assemble(folder)
    return folder


def test_every_page_is_in_the_navigation(pages):
    navigation = listed(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"])
    there = {str(page.relative_to(pages)) for page in pages.rglob("*.md")}
    assert set(navigation) == {page for page in there if not page.startswith("cards/")}


def test_files_named_on_the_pages_exist():
    """In CONTRIBUTING those of `keras_metric` may begin below it."""
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / n for n in ("README.md", "CONTRIBUTING.md"))]
    path = re.compile(r"(?<![\w/.-])((?:[\w-]+/)+[\w-]+\.py)\b")
    named = {found for page in pages for found in path.findall(page.read_text(encoding="utf-8"))}
    named -= {"zoo/recipes/my_recipe.py"}  # the reader's own
    assert len(named) > 20
    rooms = (ROOT, ROOT / "keras_metric")
    assert not [name for name in named if not any((room / name).exists() for room in rooms)]


def test_every_room_has_a_page_of_reference():
    reference = script("build").rooms()
    assert {f"keras_metric.{room}" for room in keras_metric._SUBMODULES} <= {
        *reference,
        "keras_metric.compat",  # documented as compat.tfa
    }


def test_the_table_of_recipes_has_every_recipe_and_what_its_card_measured(pages):
    table = (pages / "recipes.md").read_text()
    assert all(f"`{name}`" in table for name in zoo.names())
    assert "cards/bccd-cam.md" in table
    assert "pointing game 0.9125 (0.9002 to 0.9203)" in table


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_a_card_is_that_of_its_recipe_and_its_pictures_are_there(card):
    text = card.with_suffix(".md").read_text()
    report = json.loads(card.read_text())
    recipe = report["recipe"]
    assert recipe in zoo.names()
    assert card.stem == recipe or card.stem.startswith(f"{recipe}-")
    head = "\n".join(front_matter(zoo.get(recipe), report))  # what hubs read
    assert text.startswith(f"{head}\n# {recipe}\n")
    assert all((card.parent / name).exists() for name in re.findall(r"\]\(([^)]+\.webp)\)", text))


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_the_readme_quotes_the_card(card):
    """Each decimal number of a recipe's row is a number of its card, rounded as it is shown."""
    rows = [r for r in (ROOT / "README.md").read_text().splitlines() if f"| `{card.stem}`" in r]
    report = json.loads(card.read_text())
    known = numbers({k: report.get(k) for k in ("results", "baselines", "tables")})
    known += [100 * value for value in known] + [0.5]  # in per cent; IoU 0.5
    for shown in NUMBER.findall(" ".join(rows)):
        digits = len(shown.partition(".")[2])
        assert any(f"{value:.{digits}f}" == shown for value in known), (card.stem, shown)


def numbers(tree):
    if isinstance(tree, dict):
        return [value for branch in tree.values() for value in numbers(branch)]
    return [tree] if isinstance(tree, int | float) else []


def test_a_run_is_collected_with_its_card_results_and_pictures(tmp_path):
    small = {"epochs": 1, "batches_per_epoch": 1}
    zoo.train("digits-siamese", out=tmp_path / "run", settings=small)
    card = script("collect").collect(tmp_path / "run", tmp_path / "cards")
    kept = json.loads(card.with_suffix(".json").read_text())
    assert card.name == "digits-siamese.md"
    assert kept["results"] == json.loads((tmp_path / "run/metrics.json").read_text())["results"]
    shown = re.findall(r"\]\(([^)]+)\)", card.read_text())
    assert shown
    assert all((card.parent / name).exists() for name in shown)
    (tmp_path / "run").rename(tmp_path / "digits-siamese-short")
    short = script("collect").collect(tmp_path / "digits-siamese-short", tmp_path / "cards")
    assert short.name == "digits-siamese-short.md"


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected: a folder with metrics.json. Received"):
        script("collect").collect(tmp_path, tmp_path)


def test_the_table_of_results_is_that_of_the_cards():
    results = script("results")
    assert results.FILE.read_text(encoding="utf-8") == results.table()
    rows = list(csv.DictReader(results.table().splitlines()))
    kinds = {"recipe": {card.stem for card in CARDS}}
    kinds["trained model"] = {model.name for model in zoo.trained()}
    for kind, names in kinds.items():
        assert {row["name"] for row in rows if row["kind"] == kind} == names
    for model in zoo.trained():
        mine = [r for r in rows if (r["kind"], r["name"]) == ("trained model", model.name)]
        assert {row["measure"]: float(row["mean"]) for row in mine} == model.results
        assert {row["license"] for row in mine} == {model.license}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_a_recipe_says_what_its_card_measured(card):
    report = json.loads(card.read_text())
    if card.stem != report["recipe"]:
        return
    recipe = importlib.import_module(f"zoo.recipes.{card.stem.replace('-', '_')}")
    paragraph = recipe.__doc__.strip().rpartition("\n\n")[2]
    assert paragraph == script("collect").cost_and_result(report)
    assert "Measured:" not in zoo.get(card.stem).about


def test_collecting_writes_the_docstring_anew(tmp_path):
    (tmp_path / "mine.py").write_text('"""Mine.\n\nA \\\\ b.\n\nMeasured: before.\n"""\n\nX = 1\n')
    training = {"epochs": 2, "seconds": 90}
    report = {"recipe": "mine", "training": training, "results": {"recall@1": 0.5}}
    script("collect").note(report, tmp_path)
    cost = "Measured: 1 seed, 2 epochs, 1.5 minutes on two cores: recall@1 0.5."
    expected = f'"""Mine.\n\nA \\\\ b.\n\n{cost}\n"""\n\nX = 1\n'
    assert (tmp_path / "mine.py").read_text() == expected

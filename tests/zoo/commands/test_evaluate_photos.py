"""`keras-metric evaluate MODEL --photos`: the figures of plain loops, as it is and with LDA."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from keras_metric import Preprocessing
from keras_metric.preprocessing import attach
from keras_metric.retrieval import Refinement
from zoo.cli import main
from zoo.evaluation.vectors import MEASURES, Vectors, refined_results, results_of

pytest.importorskip("faiss")
discriminant = pytest.importorskip("sklearn.discriminant_analysis")

OWN = Preprocessing((6, 6), resize="letterbox", fill=255)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Photographs of three colors with noise, wide ones and tall ones, and an untrained encoder."""
    folder = tmp_path_factory.mktemp("evaluate")
    draw = np.random.default_rng(0)
    for part, count in (("train", 12), ("validation", 7)):
        for label, color in enumerate(([90, 60, 60], [60, 90, 60], [60, 60, 90])):
            (folder / "photos" / part / f"kind-{label}").mkdir(parents=True)
            for number in range(count):
                sides = (4, 8) if number % 2 else (9, 5)
                pixels = np.clip(color + 40 * draw.standard_normal((*sides, 3)), 0, 255)
                picture = keras.utils.array_to_img(pixels, scale=False)
                picture.save(folder / "photos" / part / f"kind-{label}" / f"{number}.png")
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 3, activation="relu")(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(x))
    attach(model, OWN).save(folder / "model.keras")
    return folder


def expected(model, place, preprocess) -> dict:
    """Recall@1, MAP@R and the vote of 20, in loops."""
    sets = []
    for part in ("train", "validation"):
        files = sorted((place / "photos" / part).rglob("*.png"))
        labels = np.array([int(file.parent.name[-1]) for file in files])
        sets.append((model.predict_on_batch(preprocess.batch(files)), labels))
    lda = discriminant.LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.2).fit(*sets[0])
    projected = [(lda.transform(x), y) for x, y in sets]
    projected = [(x / np.linalg.norm(x, axis=1, keepdims=True), y) for x, y in projected]
    return {"this model": measured(*sets), "this model + LDA": measured(*projected)}


def measured(known, asked) -> dict:
    (vectors, labels), hits, precisions, right = asked, [], [], []
    for row, vector in enumerate(vectors):
        others = np.delete(np.arange(len(vectors)), row)
        order = others[np.argsort(np.linalg.norm(vectors[others] - vector, axis=1))]
        good = labels[order] == labels[row]
        hits.append(good[0])
        relevant = good.sum()
        found = np.cumsum(good)[:relevant] / np.arange(1, relevant + 1)
        precisions.append((found * good[:relevant]).sum() / relevant)
        nearest = known[1][np.argsort(np.linalg.norm(known[0] - vector, axis=1))[:20]]
        votes = np.bincount(nearest, minlength=3)
        best = np.flatnonzero(votes == votes.max())
        right.append(next(label for label in nearest if label in best) == labels[row])
    values = {"recall@1": hits, "map@r": precisions, "accuracy": right}
    return {name: float(np.mean(value)) for name, value in values.items()}


@pytest.mark.parametrize("changes", [{}, {"resize": "stretch"}, {"interpolation": "bicubic"}])
def test_the_results_are_those_of_loops(place, changes, capsys):
    command = ["evaluate", str(place / "model.keras"), "--photos", str(place / "photos"), "--json"]
    assert main([*command, *(f"--{name}={value}" for name, value in changes.items())]) == 0
    found = json.loads(capsys.readouterr().out)
    preprocess = OWN.with_changes(**changes)
    assert (found["train"], found["validation"]) == (36, 21)
    assert found["preprocessing"] == str(preprocess)
    wanted = expected(keras.saving.load_model(place / "model.keras"), place, preprocess)
    for column, values in wanted.items():
        shown = {name: found["results"][column][name] for name in values}
        assert shown == pytest.approx(values, abs=1e-5), column


def test_refined_searches_are_another_column(place, capsys):
    command = ["evaluate", str(place / "model.keras"), "--photos", str(place / "photos"), "--json"]
    assert main([*command, "--expand", "2", "--rerank", "15"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    found = results["this model, expanded by 2, 15 re-ranked"]
    assert found.keys() == results["this model"].keys() - {"mrr"}
    assert found != {name: results["this model"][name] for name in found}


def test_without_effect_refined_results_are_those_of_the_model(place):
    model = keras.saving.load_model(place / "model.keras")
    known, asked = (
        Vectors(
            model.predict_on_batch(OWN.batch(files)), np.array([f.parent.name for f in files], "O")
        )
        for files in (
            sorted((place / "photos" / x).rglob("*.png")) for x in ("train", "validation")
        )
    )
    wanted = results_of(known, asked)
    found = refined_results(known, asked, Refinement())
    assert found == pytest.approx({name: wanted[name] for name in found}, abs=1e-6)


def test_people_read_a_table(place, capsys):
    assert main(["evaluate", str(place / "model.keras"), "--photos", str(place / "photos")]) == 0
    head, made, columns, *rows = capsys.readouterr().out.splitlines()
    assert head == "36 photographs known, 21 asked"
    assert made == f"preprocessed: {OWN}"
    assert columns.split() == ["this", "model", "this", "model", "+", "LDA"]
    assert [row.split()[0] for row in rows] == [*MEASURES, "accuracy"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--photos", "{photos}/train"], "Expected: the folders train and validation"),
        (["--photos", "{photos}", "--ways", "3"], "Received: --photos with --ways."),
        (["--resize", "crop"], "Received: --resize without it."),
        (["--rerank", "9"], "Received: --rerank without it."),
        (["--photos", "{photos}", "--rerank", "1"], "Received: rerank=1"),
    ],
)
def test_what_does_not_go_together_is_refused(place, arguments, words, capsys):
    given = [text.format(photos=place / "photos") for text in arguments]
    assert main(["evaluate", str(place / "model.keras"), *given]) == 1
    assert words in capsys.readouterr().err

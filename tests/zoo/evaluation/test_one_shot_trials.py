"""`evaluate --protocol omniglot-oneshot`: published and drawn runs, a model beside baselines."""

import json
import zipfile

import keras
import numpy as np
import pytest
from keras import layers

from zoo.cli import main
from zoo.datasets.sources.one_shot_runs import Run
from zoo.evaluation.one_shot_trials import by_encoder, by_ink, by_pixels, examine

Image = pytest.importorskip("PIL.Image")
PROTOCOL = ["evaluate", "--protocol", "omniglot-oneshot"]


def drawing(character, drawer, alphabet=0):
    """White ink: a frame, a stroke whose place is the character's, jitter that is the drawer's."""
    page = np.zeros((105, 105), np.uint8)
    page[20:85:64, 20:85] = page[20:85, 20:85:64] = 255
    page[25 + 12 * character : 29 + 12 * character, 30 + drawer : 70 + drawer] = 255
    page[40:60, 40 + 20 * alphabet : 43 + 20 * alphabet] = 255
    return page[..., None]


def made_up(name, answers, group=None, ways=4):
    support = np.stack([drawing(way, 0) for way in range(ways)])
    return Run(name, support, np.stack([drawing(a, 1) for a in answers]), np.array(answers), group)


def save(page, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(255 - page[..., 0]).convert("1").save(path)


@pytest.fixture
def published(tmp_path):
    """Two runs of four; in the second, one label is wrong."""
    for number, swapped in ((1, False), (2, True)):
        run = tmp_path / "all_runs" / f"run{number:02d}"
        labels = [0, 1, 2, 3] if not swapped else [1, 1, 2, 3]
        for way in range(4):
            save(drawing(way, 0), run / f"training/class{way + 1:02d}.png")
            save(drawing(way, 1), run / f"test/item{way + 1:02d}.png")
        lines = [
            f"{run.name}/test/item{way + 1:02d}.png {run.name}/training/class{label + 1:02d}.png"
            for way, label in enumerate(labels)
        ]
        (run / "class_labels.txt").write_text("\n".join(lines))
    return tmp_path / "all_runs"


@pytest.fixture
def omniglot(tmp_path):
    """Two alphabets of three characters by three drawers, zipped and as a folder."""
    for alphabet, name in enumerate(("Alpha", "Beta")):
        for character in range(3):
            for drawer in (1, 2, 3):
                path = f"own/{name}/character{character + 1:02d}/0001_{drawer:02d}.png"
                save(drawing(character, drawer, alphabet), tmp_path / path)
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as file:
        for path in (tmp_path / "own").rglob("*.png"):
            file.write(path, path.relative_to(tmp_path))
    return tmp_path


def asked(arguments, capsys):
    assert main([*PROTOCOL, *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_errors_are_counted_by_run_and_alphabet():
    runs = [made_up("run01", [0, 1, 2, 3], "A"), made_up("run02", [3, 0, 0, 2], "B")]
    apart = np.array([[0.0, 1, 1, 1], [1, 0, 1, 1], [1, 0, 1, 1], [0, 1, 1, 0]])
    found = examine(runs, {"given": lambda run: apart})
    assert found["by run"] == {"run01": {"given": 50.0}, "run02": {"given": 100.0}}
    assert [found["by alphabet"][a]["given"]["error"] for a in "AB"] == [50.0, 100.0]
    assert found["error %"]["given"] == {"error": 75.0, "low": 50.0, "high": 100.0}
    assert (found["runs"], found["trials"], found["ways"]) == (2, 8, [4])


@pytest.mark.parametrize("measure", [by_pixels, by_ink])
def test_baselines_know_a_drawing_by_its_ink(measure):
    run = made_up("run01", [2, 0, 3, 1])
    apart = measure(run)
    assert apart.shape == (4, 4)
    assert apart.argmin(1).tolist() == [2, 0, 3, 1]


def test_the_published_runs(published, capsys):
    found = asked(["--runs", published], capsys)
    assert found["error %"]["modified Hausdorff"] == {"error": 12.5, "low": 0.0, "high": 25.0}
    assert found["by run"]["run02"] == {"raw pixels": 25.0, "modified Hausdorff": 25.0}
    assert found["source"] == {"runs": str(published)}
    assert found["by alphabet"] == {}
    assert main([*PROTOCOL, "--runs", str(published)]) == 0
    text = capsys.readouterr().out
    assert "12.5 (0.0 to 25.0)" in text
    assert "2 runs, 8 trials, 4 ways" in text


def test_runs_drawn_from_an_archive_or_a_folder(omniglot, capsys):
    options = ["--draws", 4, "--ways", 3, "--seed", 1, "--data"]
    zipped, folder = (asked([*options, omniglot / name], capsys) for name in ("own.zip", "own"))
    assert zipped["by run"] == folder["by run"]
    assert (zipped["runs"], zipped["trials"], list(zipped["by alphabet"])) == (
        4,
        12,
        ["Alpha", "Beta"],
    )
    one = asked([*options, omniglot / "own", "--alphabets", "Beta"], capsys)
    assert list(one["by alphabet"]) == one["source"]["alphabets"] == ["Beta"]


@pytest.mark.tensorflow
def test_a_model_is_asked_the_same_runs(published, tmp_path, capsys):
    encoder = keras.Sequential(
        [keras.Input((15, 15, 1)), layers.Rescaling(1 / 255), layers.Flatten()]
    )
    encoder.save(tmp_path / "encoder.keras")
    found = asked([tmp_path / "encoder.keras", "--runs", published], capsys)
    assert found["error %"]["this model"]["error"] == 12.5
    assert list(found["error %"]) == ["this model", "raw pixels", "modified Hausdorff"]


@pytest.mark.parametrize(
    ("shape", "vector"), [((None, None, 1), True), ((8, 8, 3), True), ((8, 8, 1), False)]
)
def test_a_model_that_cannot_compare_drawings_is_refused(shape, vector):
    x = inputs = keras.Input(shape)
    x = layers.GlobalAveragePooling2D()(x) if vector else layers.Conv2D(2, 3)(x)
    with pytest.raises(ValueError, match=r"cannot compare drawings\. Expected: square grey"):
        by_encoder(keras.Model(inputs, x))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate"], "Nothing to measure"),
        (["evaluate", ".", "--draws", "3"], "Received: --draws without --protocol"),
        (["evaluate", ".", "--runs", "r"], "Received: --runs without --protocol"),
        (PROTOCOL, "Received: neither"),
        ([*PROTOCOL, "--runs", "r", "--data", "d"], "Received: --runs, --data"),
        ([*PROTOCOL, "--runs", "r", "--seed", "0"], "Received: --runs, --seed"),
        ([*PROTOCOL, "--data", "small"], "or the path of a zip file or folder. Received: 'small'"),
        ([*PROTOCOL, "--runs", "nowhere"], "No one-shot runs found"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    assert words in capsys.readouterr().err

"""The official layout of one-shot runs, made up here, and runs drawn from images."""

import io
import zipfile

import numpy as np
import pytest

from zoo.datasets import Images
from zoo.datasets.sources.one_shot_runs import drawn_runs, official_runs

Image = pytest.importorskip("PIL.Image")


def page(row, column):
    picture = Image.new("1", (105, 105), 1)
    picture.putpixel((column, row), 0)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def pixel(picture):
    return tuple(np.argwhere(picture)[0][:2])


def write_run(folder, number, ways, rng):
    """A run of pictures with one pixel: its column is the character, its row 1 in training."""
    name = f"run{number:02d}"
    for part in ("training", "test"):
        (folder / name / part).mkdir(parents=True)
    characters = rng.permutation(ways)
    lines = []
    for way in range(ways):
        (folder / name / f"training/class{way + 1:02d}.png").write_bytes(page(1, way))
        item = f"test/item{way + 1:02d}.png"
        answer = f"training/class{characters[way] + 1:02d}.png"
        (folder / name / item).write_bytes(page(2, characters[way]))
        lines.append(f"{name}/{item} {name}/{answer}")
    (folder / name / "class_labels.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def layout(tmp_path, rng):
    for number in (2, 1, 10):
        write_run(tmp_path / "all_runs", number, 12, rng)
    return tmp_path / "all_runs"


def check(runs):
    assert [run.name for run in runs] == ["run01", "run02", "run10"]
    for run in runs:
        assert run.support.shape == run.queries.shape == (12, 105, 105, 1)
        assert run.support.dtype == np.uint8
        assert run.answers.dtype == np.int64
        assert run.group is None
        for query, answer in zip(run.queries, run.answers, strict=True):
            assert pixel(query) == (2, pixel(run.support[answer])[1])
            assert pixel(run.support[answer])[0] == 1


def test_answers_point_at_the_same_character(layout):
    check(official_runs(layout))


def test_runs_one_level_down_or_in_a_zip_are_found(layout, tmp_path):
    check(official_runs(tmp_path))
    with zipfile.ZipFile(tmp_path / "all_runs.zip", "w") as file:
        for path in layout.rglob("*.*"):
            file.write(path, path.relative_to(layout))
    check(official_runs(tmp_path / "all_runs.zip"))


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda run: (run / "class_labels.txt").unlink(), "Expected: a file class_labels.txt"),
        (
            lambda run: (run / "training/class03.png").unlink(),
            "images that are there. Received: run01",
        ),
        (
            lambda run: (run / "test/item03.png").unlink(),
            "images that are there. Received: run01/test",
        ),
        (lambda run: (run / "class_labels.txt").write_text(""), "every test image once"),
        (
            lambda run: (run / "class_labels.txt").write_text("run01/test/item01.png"),
            "of two images",
        ),
        (
            lambda run: (run / "class_labels.txt").write_text(
                "run01/test/item01.png run01/test/item02.png"
            ),
            "an answer among the training images. Received: run01/test/item02.png",
        ),
        (
            lambda run: (run / "class_labels.txt").write_text(
                "run01/test/item01.png run01/training/class02.png\n" * 2
            ),
            "every test image once",
        ),
        (lambda run: (run / "test/item03.png").write_bytes(b"x"), "item03.png cannot be read"),
    ],
)
def test_an_incomplete_run_is_refused(layout, break_it, message):
    break_it(layout / "run01")
    with pytest.raises(ValueError, match=message):
        official_runs(layout)


def test_a_folder_without_runs_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected: folders run01, run02"):
        official_runs(tmp_path)
    with pytest.raises(FileNotFoundError, match="which does not exist"):
        official_runs(tmp_path / "none")


@pytest.fixture
def omniglot():
    """Two alphabets of 4 and 3 characters by 3 drawers; the pixel tells character and drawer."""
    table = [
        (g, 4 * g + c, d) for g, count in enumerate((4, 3)) for c in range(count) for d in (1, 2, 3)
    ]
    groups, labels, drawers = np.array(table).T
    pictures = np.zeros((len(table), 8, 8, 1), np.uint8)
    pictures[np.arange(len(table)), labels, drawers] = 255
    return Images(pictures, labels, tuple("abcdefg"), groups, ("A", "B"), drawers)


def test_drawn_runs_ask_another_drawer_about_one_alphabet(omniglot):
    runs = drawn_runs(omniglot, 6, ways=3, seed=1)
    assert len(runs) == 6
    for number, run in enumerate(runs):
        support, queries = ([pixel(p) for p in part] for part in (run.support, run.queries))
        assert [queries[i][0] for i in range(3)] == [support[a][0] for a in run.answers]
        assert {row >= 4 for row, _ in support} == {number % 2 == 1}
        assert run.group == "AB"[number % 2]
        assert len({row for row, _ in support}) == 3
        (shown,), (asked,) = {d for _, d in support}, {d for _, d in queries}
        assert shown != asked


def test_drawn_runs_follow_their_seed_and_take_what_there_is(omniglot):
    runs = [drawn_runs(omniglot, 4, seed=seed) for seed in (0, 0, 1)]
    pictures = [b"".join(run.support.tobytes() for run in some) for some in runs]
    assert pictures[0] == pictures[1] != pictures[2]
    assert [len(run.support) for run in runs[0]] == [4, 3, 4, 3]


def test_runs_that_cannot_be_drawn_are_refused(omniglot):
    with pytest.raises(ValueError, match="Expected: groups and drawers"):
        drawn_runs(Images(omniglot.images, omniglot.labels, omniglot.names))
    with pytest.raises(ValueError, match="No run can be drawn"):
        drawn_runs(omniglot.where(omniglot.drawers == 1))
    with pytest.raises(ValueError, match="ways=1"):
        drawn_runs(omniglot, ways=1)

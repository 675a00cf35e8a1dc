"""One-shot classification in runs: one drawing of each character against another drawer's.

Lake, Salakhutdinov and Tenenbaum, Science 350, 2015: 20 runs of 20 characters of one alphabet, 400
trials.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from zoo.datasets.images import Images
from zoo.datasets.reading.archives import read_members
from zoo.datasets.reading.ink import decode

_RUN = re.compile(r"run\d+")


@dataclass(frozen=True, eq=False)
class Run:
    """`queries[i]` shows the same character as `support[answers[i]]`; the ink is white on black.

    - `support`: `(W, 105, 105, 1)` uint8, one drawing of each of W characters.
    - `queries`: `(Q, 105, 105, 1)` uint8, by another drawer.
    - `answers`: `(Q,)` int64, positions in `support`.
    - `group`: the alphabet, where it is known; the published runs do not say.
    """

    name: str
    support: np.ndarray
    queries: np.ndarray
    answers: np.ndarray
    group: str | None = None

    def __repr__(self) -> str:
        return f"Run({self.name}: {len(self.queries)} queries, {len(self.support)} ways)"


def official_runs(folder: str | Path) -> list[Run]:
    """The published runs, in the order of their names.

    `folder` holds `run01`, `run02`, ... (directly or one level down), or is the zip file of them;
    each run has images under `training/` and `test/`, and `class_labels.txt` with lines of a test
    image and the training image of the same character, `run01/test/item01.png
    run01/training/class11.png`.

    Raises `FileNotFoundError` without such a folder, `ValueError` when a run is incomplete or
    contradictory.
    """
    files = _files(Path(folder))
    runs: dict[str, dict[str, bytes]] = {}
    for name, content in files.items():
        parts = PurePosixPath(name).parts
        run = next((part for part in parts if _RUN.fullmatch(part)), None)
        if run is not None:
            runs.setdefault(run, {})["/".join(parts[parts.index(run) :])] = content
    if not runs:
        raise FileNotFoundError(
            f"No one-shot runs found. Expected: folders run01, run02, ... in {folder}. "
            f"Received: {', '.join(sorted(files)[:5]) or 'no file'}."
        )
    return [_run(name, runs[name]) for name in sorted(runs)]


def drawn_runs(images: Images, runs: int = 20, *, ways: int = 20, seed: int = 0) -> list[Run]:
    """Runs of the same kind drawn from Omniglot: within one alphabet, two different drawers.

    The alphabets take turns, those with at least 2 characters; an alphabet with fewer than `ways`
    gives all it has. Each run draws its characters and its two drawers with `seed`; drawers must
    have drawn every character chosen. Raises `ValueError` when the images have no groups or
    drawers, or no alphabet will do.
    """
    if images.groups is None or images.drawers is None:
        raise ValueError(
            "One-shot runs need to know who drew what. Expected: groups and drawers. Received: "
            f"{images!r}."
        )
    rng = np.random.default_rng(seed)
    tables = [
        (images.group_names[group], table)
        for group in np.unique(images.groups)
        if (table := _table(images, group)) is not None
    ]
    if not tables or runs < 1 or ways < 2:
        raise ValueError(
            "No run can be drawn. Expected: runs >= 1, ways >= 2 and an alphabet with 2 characters "
            "that 2 people "
            f"drew. Received: runs={runs!r}, ways={ways!r}, {images!r}."
        )
    return [
        _draw(images, *tables[number % len(tables)], ways, rng, number) for number in range(runs)
    ]


def _files(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return read_members(path, ".png") | read_members(path, "class_labels.txt")
    if not path.is_dir():
        raise FileNotFoundError(
            f"No one-shot runs found. Expected: a folder with run01, run02, ... or their zip file. "
            f"Received: {path}, which does not exist."
        )
    kinds = ("class_labels.txt", "training/*.png", "test/*.png")
    patterns = [f"{below}run*/{kind}" for below in ("", "*/") for kind in kinds]
    found = sorted(file for pattern in patterns for file in path.glob(pattern))
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in found}


def _run(name: str, files: dict[str, bytes]) -> Run:
    if f"{name}/class_labels.txt" not in files:
        raise _broken(name, "a file class_labels.txt", "none")
    lines = files[f"{name}/class_labels.txt"].decode("utf-8", "replace").split("\n")
    pairs = [line.split() for line in lines if line.strip()]
    for pair in pairs:
        if len(pair) != 2 or any(item not in files for item in pair):
            raise _broken(name, "lines of two images that are there", " ".join(pair))
    queries = [query for query, _ in pairs]
    support = [file for file in files if "/training/" in file]
    if not pairs or len(set(queries)) < len(queries):
        raise _broken(name, "every test image once", f"{len(queries)} lines")
    return Run(
        name,
        np.stack([decode(files[file], file) for file in support]),
        np.stack([decode(files[file], file) for file in queries]),
        np.array([_position(name, support, answer) for _, answer in pairs], np.int64),
    )


def _position(name: str, support: list[str], answer: str) -> int:
    if answer not in support:
        raise _broken(name, "an answer among the training images", answer)
    return support.index(answer)


def _broken(name: str, expected: str, received: str) -> ValueError:
    return ValueError(
        f"The one-shot run {name} is incomplete. Expected: {expected}. Received: {received}."
    )


def _table(images: Images, group: int) -> np.ndarray | None:
    """`(characters, drawers)`, positions of drawings by those who drew all characters, or None."""
    members = np.flatnonzero(images.groups == group)
    characters, rows = np.unique(images.labels[members], return_inverse=True)
    drawers, columns = np.unique(images.drawers[members], return_inverse=True)
    table = np.full((len(characters), len(drawers)), -1)
    table[rows, columns] = members
    table = table[:, (table >= 0).all(0)]
    return table if table.shape[0] >= 2 and table.shape[1] >= 2 else None


def _draw(
    images: Images,
    group: str,
    table: np.ndarray,
    ways: int,
    rng: np.random.Generator,
    number: int,
) -> Run:
    characters = rng.permutation(len(table))[:ways]
    shown, asked = rng.permutation(table.shape[1])[:2]
    order = rng.permutation(len(characters))
    return Run(
        f"run{number + 1:02d}",
        images.images[table[characters, shown]],
        images.images[table[characters[order], asked]],
        order.astype(np.int64),
        group,
    )

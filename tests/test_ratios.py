"""The table of a comparison: times as ratios, start by start."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS, FLOOR, PEER = "keras-metric/tensorflow", "floor/tensorflow", "another"


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from ratios import ratios

    return lambda cells: ratios(cells, OURS, FLOOR, {PEER: "Another"}, "B").splitlines()[2:]


def cell(contender, size, *starts, group="together"):
    facts = {"median": sorted(starts)[len(starts) // 2], "starts": list(starts), "peak": 3 * 2**20}
    return {"contender": contender, "case": "hard", "size": size, "group": group} | facts


def test_starts_are_compared_with_those_beside_them(table):
    (row,) = table([cell(OURS, 128, 1e-3, 4e-3, 2e-3), cell(PEER, 128, 2e-3, 4e-3, 6e-3),
                    cell(FLOOR, 128, 5e-4, 1e-3, 1e-3)])  # fmt: skip
    assert row == "| hard | 128 | 2 ms, 3 MiB | 2.0x | 2x (1 to 3), 3 MiB |"


@pytest.mark.parametrize("group", ["another day", None])
def test_cells_that_did_not_run_together_compare_their_medians(table, group):
    ours, peer = (1e-3, 2e-3, 4e-3), (0.5, 0.25, 0.1)
    (row,) = table([cell(OURS, 128, *ours), cell(PEER, 128, *peer, group=group)])
    assert row == "| hard | 128 | 2 ms, 3 MiB |  | 125x, 3 MiB |"


def test_a_peer_that_failed_keeps_its_reason(table):
    failed = {"contender": PEER, "case": "hard", "size": 256, "failed": "out of memory"}
    rows = table([cell(OURS, size, 1e-3) for size in (128, 256, 512)] + [failed])
    assert [row.split(" | ")[-1] for row in rows] == [" |", "out of memory |", "out of memory |"]

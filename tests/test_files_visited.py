"""A reader who follows one call visits few files."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
import walk  # noqa: E402

MOST = {
    "triplet-loss": 8,
    "saved-model": 14,
    "to-fully-convolutional": 9,
    "digits-triplet-step": 30,
}


@pytest.mark.parametrize("case", sorted(MOST))
def test_a_call_visits_few_files(case):
    assert 4 < len(walk.files(walk.CASES[case]())) <= MOST[case]

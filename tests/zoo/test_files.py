"""A file is there whole, or not at all."""

import pytest

from zoo.files import read_json, write, write_json


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = write_json(tmp_path / "deep" / "metrics.json", {"a": 1})

    def breaks_off(beside):
        beside.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write(path, breaks_off)
    assert read_json(path) == {"a": 1}
    assert [file.name for file in path.parent.iterdir()] == ["metrics.json"]


def test_a_torn_file_is_refused_by_name(tmp_path):
    path = tmp_path / "state.json"
    path.write_text('{"epoch": ')
    with pytest.raises(ValueError, match=r"state.json cannot be read\. Expected: JSON\. Received"):
        read_json(path)

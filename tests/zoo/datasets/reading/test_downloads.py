"""Downloads from a local file: whole and verified, or not there."""

import hashlib
import os
from pathlib import Path

import pytest

from zoo.datasets.reading.downloads import cache_folder, fetch


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "home" / "data.zip"
    path.parent.mkdir()
    path.write_bytes(bytes(range(256)) * 1000)
    return path


def options(source):
    content = source.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def test_the_file_arrives_whole_and_is_not_fetched_twice(source, tmp_path):
    expected, content = options(source), source.read_bytes()
    path = fetch(source.as_uri(), tmp_path / "cache" / "data.zip", **expected)
    assert path.read_bytes() == content
    source.unlink()
    assert fetch(source.as_uri(), path, **expected) == path
    assert [file.name for file in path.parent.iterdir()] == ["data.zip"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "damaged, partial"),
        (lambda content: b"x" + content[1:], "checksum differs"),
        (lambda content: content + b"x", "longer than the published file"),
    ],
)
def test_another_file_leaves_nothing(source, tmp_path, change, message):
    expected = options(source)
    source.write_bytes(change(source.read_bytes()))
    with pytest.raises(ValueError, match=message):
        fetch(source.as_uri(), tmp_path / "cache" / "data.zip", **expected)
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_network_the_error_says_what_to_do(source, tmp_path):
    expected = options(source)
    source.unlink()
    with pytest.raises(ConnectionError, match="failed. Expected: .*KERAS_METRIC_DATA"):
        fetch(source.as_uri(), tmp_path / "cache" / "data.zip", **expected)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_file_in_the_cache_is_refused(source, tmp_path):
    path = tmp_path / "data.zip"
    path.write_bytes(source.read_bytes()[:-5])
    with pytest.raises(ValueError, match="Delete it and fetch it again"):
        fetch(source.as_uri(), path, **options(source))


def test_progress_is_shown_on_a_terminal_only(source, tmp_path, capsys, monkeypatch):
    fetch(source.as_uri(), tmp_path / "a.zip", **options(source))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    fetch(source.as_uri(), tmp_path / "b.zip", **options(source))
    assert "b.zip: 0.2 of 0.2 MiB\n" in capsys.readouterr().err


def test_the_cache_is_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("KERAS_METRIC_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere")
    monkeypatch.delenv("KERAS_METRIC_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "keras-metric"


def test_what_a_killed_download_left_is_removed(source, tmp_path):
    old, fresh = tmp_path / ".data.zip.a.part", tmp_path / ".data.zip.b.part"
    for part in (old, fresh):
        part.write_bytes(b"x")
    os.utime(old, (0, 0))
    fetch(source.as_uri(), tmp_path / "data.zip", **options(source))
    assert not old.exists()
    assert fresh.exists()

"""Zip archives are read whole, verified and bounded, or refused."""

import stat
import zipfile

import pytest

from zoo.datasets.reading import archives
from zoo.datasets.reading.archives import check_sha256, read_members, sha256


def archive(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_members_come_by_suffix_in_the_order_of_names(tmp_path):
    members = {"b/2.png": b"two", "a/1.png": b"one", "a/1.txt": b"", "__MACOSX/a/._1.png": b"x"}
    found = read_members(archive(tmp_path / "x.zip", members), ".png")
    assert list(found.items()) == [("a/1.png", b"one"), ("b/2.png", b"two")]


@pytest.mark.parametrize(
    "name", ["/etc/x.png", "../x.png", "a/../../x.png", "..\\x.png", "C:x.png"]
)
def test_members_that_leave_the_folder_are_refused(tmp_path, name):
    path = archive(tmp_path / "x.zip", {"ok.png": b"1", name: b"2"})
    with pytest.raises(ValueError, match=r"would leave its folder. Expected: plain files"):
        read_members(path, ".png")
    assert [file.name for file in tmp_path.iterdir()] == ["x.zip"]


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("a.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match="Received: the link 'a.png'"):
        read_members(tmp_path / "x.zip", ".png")


@pytest.mark.parametrize("bound", ["_MOST_MEMBERS", "_LARGEST_MEMBER", "_LARGEST_ARCHIVE"])
def test_archives_that_swell_are_refused(tmp_path, monkeypatch, bound):
    path = archive(tmp_path / "x.zip", {f"{i}.png": bytes(3000) for i in range(4)})
    limits = {"_MOST_MEMBERS": 4, "_LARGEST_MEMBER": 3000, "_LARGEST_ARCHIVE": 12000}
    for name, limit in limits.items():
        monkeypatch.setattr(archives, name, limit)
    assert len(read_members(path, ".png")) == 4
    monkeypatch.setattr(archives, bound, limits[bound] - 1)
    with pytest.raises(ValueError, match="too large .* Received: 4 members, the largest of 3,000"):
        read_members(path, ".png")


def test_a_member_never_grows_beyond_its_stated_size(tmp_path):
    path = archive(tmp_path / "x.zip", {"a.png": bytes(100_000)})
    content = path.read_bytes()
    size = (100_000).to_bytes(4, "little")
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(ValueError, match="damaged or partial"):
        read_members(path, ".png")


def test_every_truncation_is_refused(tmp_path):
    path = archive(tmp_path / "x.zip", {"a/1.png": b"one" * 50, "b.png": b"two"})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="damaged or partial. Expected: a whole zip file"):
            read_members(path, ".png")


def test_damage_is_refused_or_harmless(tmp_path, rng):
    """A flipped byte gives the error of this module or leaves the content as it was."""
    path = archive(tmp_path / "x.zip", {"a/1.png": rng.bytes(200)})
    content, whole = path.read_bytes(), set(read_members(path, ".png").values())
    refused = 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            found = read_members(path, ".png")
        except ValueError:
            refused += 1
        else:
            assert set(found.values()) <= whole
    assert refused > 200


def test_checksums(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(path) == known
    check_sha256(path, known)
    path.write_bytes(b"abd")
    with pytest.raises(
        ValueError, match=f"Expected: sha256 {known}. Received: sha256 a52d.*3 bytes"
    ):
        check_sha256(path, known)


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected: a zip file at .*none.zip"):
        read_members(tmp_path / "none.zip", ".png")

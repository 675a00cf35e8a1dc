"""Tensors out of PyTorch's files, and the attacks that a pickle can carry."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from zoo.pretrained.torch_files import read_tensors

MAGIC = 0x1950A86A20F9469CFC6C


class Global:
    """Pickled as a name of another module, called with arguments."""

    def __init__(self, module, name, *arguments):
        self.module, self.name, self.arguments = module, name, arguments


class Name:
    """Pickled as a name alone."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Pickler(pickle._Pickler):
    """Writes what PyTorch writes, without PyTorch."""

    def persistent_id(self, value):
        return value.pid if isinstance(value, Storage) else None

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Name):
            return self.write(f"c{value.module}\n{value.name}\n".encode())
        if isinstance(value, Global):
            self.save(Name(value.module, value.name))
            self.save(value.arguments)
            return self.write(pickle.REDUCE)
        return super().save(value, save_persistent_id)


class Storage:
    def __init__(self, key, kind, count):
        self.pid = ("storage", Name("torch", kind), key, "cpu", count, None)


def tensor(key, kind, count, shape, strides, offset=0):
    hooks = Global("collections", "OrderedDict")
    arguments = Storage(key, kind, count), offset, shape, strides, False, hooks
    return Global("torch._utils", "_rebuild_tensor_v2", *arguments)


def pickled(value):
    file = io.BytesIO()
    Pickler(file, 2).dump(value)
    return file.getvalue()


def write(path, state, storages, *, archive, packing=zipfile.ZIP_STORED):
    body = pickled(state)
    if archive:
        with zipfile.ZipFile(path, "w", packing) as file:
            file.writestr("net/data.pkl", body)
            for key, values in storages.items():
                file.writestr(f"net/data/{key}", values.tobytes())
    else:
        system = {"protocol_version": 1001, "little_endian": True}
        parts = [pickled(MAGIC), pickled(1001), pickled(system), body, pickled(list(storages))]
        for values in storages.values():
            parts += [struct.pack("<q", values.size), values.tobytes()]
        path.write_bytes(b"".join(parts))
    return path


@pytest.fixture(params=[True, False], ids=["zip", "row of pickles"])
def archive(request):
    return request.param


VALUES = np.arange(24, dtype="<f4")


def test_strides_offsets_and_types(tmp_path, archive):
    counts = np.array([7], "<i8")
    state = OrderedDict(
        kernel=tensor("0", "FloatStorage", 24, (2, 3), (1, 4), offset=2),
        count=tensor("1", "LongStorage", 1, (), ()),
    )
    path = write(tmp_path / "net.pth", state, {"0": VALUES, "1": counts}, archive=archive)
    found = read_tensors(path)
    assert list(found) == ["kernel", "count"]
    np.testing.assert_array_equal(found["kernel"], [[2, 6, 10], [3, 7, 11]])
    assert found["kernel"].dtype == np.float32
    assert found["count"].shape == ()
    assert found["count"] == 7


def test_equals_torch(tmp_path, archive):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    path = tmp_path / "net.pth"
    torch.save(net.state_dict(), path, _use_new_zipfile_serialization=archive)
    found, expected = read_tensors(path), net.state_dict()
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values.numpy())


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "eval"), ("torch", "load"), ("collections", "OrderedDict.pop")],
)
def test_a_pickle_that_would_run_a_command(tmp_path, archive, module, name):
    mark = tmp_path / "mark"
    state = {"kernel": Global(module, name, f"touch {mark}")}
    path = write(tmp_path / "net.pth", state, {}, archive=archive)
    with pytest.raises(ValueError, match=rf"a name that is no tensor's \({module}.{name}\)"):
        read_tensors(path)
    assert not mark.exists()


def test_names_put_together_on_the_stack_are_refused(tmp_path, archive):
    body = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R."  # STACK_GLOBAL
    path = tmp_path / "net.pth"
    if archive:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("net/data.pkl", body)
    else:
        path.write_bytes(body)
    with pytest.raises(ValueError, match="an instruction that tensors do not need"):
        read_tensors(path)


def test_a_table_with_holes_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pth", "w") as file:
        file.writestr("net/data.pkl", b"\x80\x02}r\xff\xff\xff\x7f.")  # LONG_BINPUT 2^31 - 1
    with pytest.raises(ValueError, match="a table of values with holes"):
        read_tensors(tmp_path / "net.pth")


def test_an_archive_that_swells_is_refused(tmp_path):
    zeros = np.zeros(10**6, "<f4")
    state = {"kernel": tensor("0", "FloatStorage", zeros.size, (10**6,), (1,))}
    path = write(tmp_path / "net.pth", state, {"0": zeros}, archive=True,
                 packing=zipfile.ZIP_DEFLATED)  # fmt: skip
    assert path.stat().st_size < 10**5
    with pytest.raises(ValueError, match="an archive that is larger inside"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((25,), (1,), 0),
        ((24,), (1,), 1),
        ((2, 3), (100, 1), 0),
        ((10**9, 10**9), (0, 0), 0),
        ((2,), (-1,), 5),
        ((-1, 2), (1, 1), 0),
        ((2,), (1, 1), 0),
    ],
)
def test_shapes_that_do_not_fit(tmp_path, archive, shape, strides, offset):
    state = {"kernel": tensor("0", "FloatStorage", 24, shape, strides, offset)}
    path = write(tmp_path / "net.pth", state, {"0": VALUES}, archive=archive)
    with pytest.raises(ValueError, match="a shape that does not fit its storage"):
        read_tensors(path)


def test_a_storage_of_another_length(tmp_path, archive):
    state = {"kernel": tensor("0", "FloatStorage", 24, (24,), (1,))}
    path = write(tmp_path / "net.pth", state, {"0": VALUES[:20]}, archive=archive)
    with pytest.raises(ValueError, match="a storage of another length"):
        read_tensors(path)


def test_truncated_anywhere(tmp_path, archive):
    state = {"kernel": tensor("0", "FloatStorage", 24, (24,), (1,))}
    content = write(tmp_path / "net.pth", state, {"0": VALUES}, archive=archive).read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / "cut.pth").write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"(is broken|is not read).*Expected: a state_dict"):
            read_tensors(tmp_path / "cut.pth")


def test_bytes_flipped_anywhere(tmp_path, archive, rng):
    """Other numbers or an error that names the file, nothing else."""
    state = {"kernel": tensor("0", "FloatStorage", 24, (24,), (1,))}
    content = write(tmp_path / "net.pth", state, {"0": VALUES}, archive=archive).read_bytes()
    for _ in range(300):
        changed = bytearray(content)
        changed[rng.integers(len(changed))] = rng.integers(256)
        (tmp_path / "bad.pth").write_bytes(changed)
        try:
            found = read_tensors(tmp_path / "bad.pth")
        except ValueError as error:
            assert "bad.pth" in str(error)  # noqa: PT017
        else:
            assert all(isinstance(values, np.ndarray) for values in found.values())


def test_another_checksum(tmp_path):
    path = write(tmp_path / "net.pth", {}, {}, archive=True)
    with pytest.raises(ValueError, match="not the one that is known. Expected: sha256 00"):
        read_tensors(path, sha256="00")


def test_no_state_dict(tmp_path, archive):
    for state in ({"kernel": 3}, [1], "text"):
        path = write(tmp_path / "net.pth", state, {}, archive=archive)
        with pytest.raises(ValueError, match=r"(is broken|is not read)"):
            read_tensors(path)

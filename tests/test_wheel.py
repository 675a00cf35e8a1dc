"""What `pip install .` brings: both packages, and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    left_out = (".*", "out", "build", "dist", "site", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*left_out))
    command = [sys.executable, "-m", "pip", "wheel", source, "-w", folder, "-q", "--no-deps"]
    subprocess.run([*command, "--no-build-isolation"], check=True, cwd=folder)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_both_packages_and_nothing_else(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"keras_metric", "zoo"}
    files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    here = {
        str(path.relative_to(ROOT))
        for package in ("keras_metric", "zoo")
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".html", ".css", ".js", ".tsv", ".keras", ".json", ".md"}
        or path.name == "py.typed"
    }
    assert files == here


def test_trained_models_are_small(wheel):
    sizes = [e.compress_size for e in wheel.infolist() if e.filename.startswith("zoo/pretrained/m")]
    assert 1_000_000 < sum(sizes) < 15_000_000


def test_required_are_keras_and_numpy(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(wheel.read(name).decode())
    required = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert sorted(line.split(">")[0] for line in required) == ["keras", "numpy"]
    extras = set(metadata.get_all("Provides-Extra"))
    assert extras >= {"cpu", "gpu", "jax", "torch", "plots", "eval", "search", "legacy", "hub"}

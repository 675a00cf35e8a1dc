"""The public surface: complete, lazy, and every file short enough to read."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import keras_metric as km
import zoo

ROOT = Path(__file__).resolve().parent.parent

# The names of the design, which users and measurements rely on.
PROMISED = {
    "losses": "ContrastiveLoss TripletMarginLoss TripletLoss PairwiseContrastiveLoss "
    "MultiSimilarityLoss CircleLoss LiftedStructureLoss NPairsLoss InfoNCELoss SupConLoss",
    "batches": "PKBatches PairBatches TripletBatches",
    "models": "SiameseNet TripletNet",
    "heads": "ArcFace CosFace ProxyNCA ProxyAnchor SoftTriple NormalizedSoftmax",
    "metrics": "RecallAtK PrecisionAtK MAPAtR RPrecision EqualErrorRate TARAtFAR",
    "convert": "to_fully_convolutional geometry verify",
    "cam": "CAM SimilarityCAM",
    "location": "locate Locator Location",
    "plots": "overlay gallery",
    "retrieval": "Index calibrate fingerprint open_set",
    "export": "saved_model audit",
    "compat.tfa": "ContrastiveLoss TripletSemiHardLoss TripletHardLoss LiftedStructLoss "
    "NpairsLoss NpairsMultilabelLoss contrastive triplet lifted npairs metric_learning",
}
HEAVY = ("matplotlib", "sklearn", "faiss", "scipy", "starlette", "grpc", "PIL", "pymilvus")


@pytest.mark.parametrize("module", PROMISED)
def test_promised_names_exist(module):
    room = importlib.import_module(f"keras_metric.{module}")
    missing = [name for name in PROMISED[module].split() if not hasattr(room, name)]
    assert not missing


def test_locate_is_at_hand():
    assert km.locate is km.location.locate
    assert km.Locator is km.location.Locator


@pytest.mark.parametrize("module", km._SUBMODULES)
def test_all_is_true(module):
    room = getattr(km, module)
    assert [name for name in getattr(room, "__all__", ()) if not hasattr(room, name)] == []


def test_unknown_names_are_refused_by_name():
    with pytest.raises(AttributeError, match="Expected: one of.*losses.*Received: 'lossses'"):
        km.lossses  # noqa: B018
    with pytest.raises(AttributeError, match="'trian'"):
        zoo.trian  # noqa: B018


def loaded_after(code: str, without: str = "()") -> set[str]:
    names = f"{{name.split('.')[0] for name in {{*sys.modules}}.difference({without})}}"
    program = f"import sys\n{code}\nprint(*{names})"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_importing_loads_keras_and_nothing_heavy_besides():
    before = "import keras; before = {*sys.modules}; import keras_metric as km"
    rooms = "for room in km._SUBMODULES: getattr(km, room)"
    loaded = loaded_after(f"{before}\n{rooms}", without="before")
    assert "keras_metric" in loaded
    assert not loaded.intersection(HEAVY)


@pytest.mark.parametrize(
    "module",
    [
        "keras_metric.retrieval",
        "keras_metric.retrieval.storage.shards",
        "zoo.inference.bulk.on_ray",
    ],
)
def test_what_workers_import_loads_no_keras(module):
    extra = loaded_after(f"import {module}")
    assert not extra.intersection({"keras", "tensorflow", "jax", "torch"})


@pytest.mark.parametrize(
    "arguments", [["list"], ["list", "--trained"], ["--help"], ["train", "--help"]]
)
def test_listing_and_help_load_no_keras(arguments):
    code = f"""
from zoo.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass"""
    assert not loaded_after(code).intersection({"keras", "tensorflow", "jax", "torch"})


def test_files_are_short():
    files = [path for part in ("keras_metric", "zoo", "tests", "examples", "benchmarks")
             for path in (ROOT / part).rglob("*.py")]  # fmt: skip
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert not {str(path): lines for path, lines in lengths.items() if lines > 400}

"""Files that old versions wrote, beside what they answered: `reference/write_old_models.py`."""

import gzip
import re
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import keras_metric as km
from keras_metric.convert import ConversionError
from keras_metric.convert.loading.changes import CHANGES, table

FOLDER = Path(__file__).parent / "reference"
FILES = sorted(path.name for path in FOLDER.glob("*.h5.gz"))
# Keras 3.15 on TensorFlow adds the bias of channels first along columns that are as many as filters
BIAS_ALONG_COLUMNS = ("keras-1.2.2-theano-th.h5.gz", 2, "tensorflow")
REFUSED = {
    "keras-2.2.5-tensorflow-bilinear.h5.gz": "interpolation='bilinear'",
    "keras-2.0.9-theano-padding.h5.gz": "padding='same' with windows of",
}


def unpacked(name: str, folder: Path) -> Path:
    path = folder / name.removesuffix(".gz")
    path.write_bytes(gzip.decompress((FOLDER / name).read_bytes()))
    return path


@pytest.mark.parametrize("name", [name for name in FILES if name not in REFUSED])
def test_answers_are_those_of_the_version_that_wrote_the_file(name, tmp_path, array):
    path = unpacked(name, tmp_path)
    with h5py.File(path) as file:
        x = file["reference/x"][()]
        expected = [file[f"reference/y{i}"][()] for i in range(len(file["reference"]) - 1)]
    found = km.convert.load(path)(x, training=False)
    found = found if isinstance(found, list | tuple) else [found]
    assert len(found) == len(expected)
    for i, (y, wanted) in enumerate(zip(found, expected, strict=True)):
        if (name, i, keras.backend.backend()) == BIAS_ALONG_COLUMNS:
            continue
        np.testing.assert_allclose(array(y), wanted, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_what_was_computed_otherwise_is_refused_by_name(name, tmp_path):
    path = unpacked(name, tmp_path)
    with pytest.raises(ConversionError, match=REFUSED[name]):
        km.convert.load(path)


def test_the_page_shows_the_table_and_its_versions_wrote_files():
    page = Path(__file__).parents[3] / "docs" / "convert.md"
    assert table() in page.read_text(encoding="utf-8")
    written = {name.split("-")[1] for name in FILES} | {"2.21"}
    for change in CHANGES:
        assert set(re.findall(r"\d+\.\d+(?:\.\d+)?", change.reference)) <= written

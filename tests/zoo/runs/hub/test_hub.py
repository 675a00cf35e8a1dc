"""A preset goes to a hub on loopback and comes back, through `huggingface_hub` itself."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import zoo

NAME = "hf://me/doubler"
LOAD = """
import sys, numpy as np, zoo
print(zoo.load(sys.argv[1]).predict(np.ones((1, 2)), verbose=0).tolist())
"""
FETCH = "import sys, zoo; print(zoo.fetch(sys.argv[1]))"


def saved(folder, factor):
    """A folder as a run leaves it: one network, its card, and what is not to travel."""
    dense = keras.layers.Dense(2, use_bias=False)
    model = keras.Sequential([keras.Input((2,)), dense])
    dense.set_weights([factor * np.eye(2)])
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "checkpoint" / "state.json").write_text("{}")
    (folder / "saved_model" / "1").mkdir(parents=True)
    (folder / "saved_model" / "1" / "saved_model.pb").write_bytes(b"a graph")
    (folder / "README.md").write_text(f"# Times {factor}\n")
    model.save(folder / "model.keras")
    return folder


@pytest.fixture(scope="module")
def published(ask, hub, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for factor in (2, 3):
        done = ask("-m", "zoo", "publish", saved(folder / f"times-{factor}", factor), NAME)
        assert done.returncode == 0, done.stderr
    return done


def test_the_whole_folder_travels_in_one_commit(published, ask, hub):
    assert f"{hub.address}/me/doubler/commit/" in published.stdout
    assert len(hub.models["me/doubler"]) == 3
    wanted = {"README.md", "model.keras", "saved_model/1/saved_model.pb"}
    assert hub.models["me/doubler"][-1].keys() == wanted
    answer = ask("-c", FETCH, NAME)
    assert answer.returncode == 0, answer.stderr
    fetched = Path(answer.stdout.strip())
    assert {str(p.relative_to(fetched)) for p in fetched.rglob("*") if p.is_file()} == wanted
    assert (fetched / "README.md").read_text() == "# Times 3\n"


@pytest.mark.parametrize(("name", "factor"), [(NAME, 3.0), (f"{NAME}@v1", 2.0)])
def test_a_model_is_loaded_by_its_name_and_revision(published, ask, hub, name, factor):
    del hub.asked[:]
    answer = ask("-c", LOAD, name)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == [[factor, factor]]
    assert not any("saved_model" in path for path in hub.asked)


def test_what_the_hub_refuses_is_said(published, ask, hub):
    refused = ask("-m", "zoo", "publish", published.args[-2], NAME, token="another")
    assert refused.returncode == 1
    assert "cannot be published as hf://me/doubler. Expected: a hub that lets" in refused.stderr
    assert "401" in refused.stderr
    missing = ask("-m", "zoo", "export", "hf://me/nothing", "--json")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert f"Expected: a model that {hub.address} has" in missing.stderr
    assert "Traceback" not in missing.stderr + refused.stderr


@pytest.mark.parametrize("name", ["hf://me", "hf://me/doubler@", "hf://me/a b", "me/doubler"])
def test_names_of_another_form_are_refused(name):
    with pytest.raises(ValueError, match="Expected: hf://OWNER/NAME"):
        zoo.fetch(name)


def test_a_folder_without_model_or_card_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model.keras and no README.md"):
        zoo.publish(tmp_path, NAME)


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r'pip install "keras-metric\[hub\]"'):
        zoo.load(NAME)

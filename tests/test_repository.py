"""Files around the code agree with it: versions, the workflow, the Makefile, the data of CI."""

import re
import tomllib
from pathlib import Path

import pytest

from keras_metric.version import VERSION
from zoo.datasets.sources import bccd, clothing, omniglot

yaml = pytest.importorskip("yaml")
pytestmark = pytest.mark.tensorflow  # files, not numbers: one backend is enough
ROOT = Path(__file__).resolve().parent.parent


def text(*parts: str) -> str:
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")


def steps():
    for job in yaml.safe_load(text(".github", "workflows", "ci.yml"))["jobs"].values():
        yield from job["steps"]


def test_the_version_is_the_same_everywhere():
    released = re.findall(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$", text("CHANGELOG.md"), re.M)
    citation = yaml.safe_load(text("CITATION.cff"))
    assert released[0] == (VERSION, citation["date-released"])
    assert citation["version"] == VERSION


def test_the_changelog_lists_kinds_of_changes_of_the_newest_first():
    log = text("CHANGELOG.md")
    assert re.findall(r"^## (.*)$", log, re.M)[0] == "Unreleased"
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    for version in log.split("\n## ")[1:]:
        found = re.findall(r"^### (.*)$", version, re.M)
        assert set(found) <= kinds
        assert len(set(found)) == len(found)


def test_the_workflow_runs_what_the_makefile_has():
    targets = set(re.findall(r"^([a-z-]+(?: [a-z-]+)*):", text("Makefile"), re.M))
    targets = {name for line in targets for name in line.split()}
    workflow = yaml.safe_load(text(".github", "workflows", "ci.yml"))
    backends = workflow["jobs"]["tests"]["strategy"]["matrix"]["backend"]
    commands = [step["run"] for step in steps() if "run" in step]
    wanted = {
        command.removeprefix("make ").replace("${{ matrix.backend }}", backend)
        for command in commands
        for backend in backends
    }
    everything = {"lint", "demo", "docs", "test-slow", *(f"test-{name}" for name in backends)}
    assert wanted == everything
    assert wanted <= targets
    assert sorted(backends) == ["jax", "tensorflow", "torch"]


def test_the_workflow_uses_steps_that_exist():
    own = [step["uses"] for step in steps() if step.get("uses", "").startswith("./")]
    assert own
    assert all((ROOT / name / "action.yml").is_file() for name in own)


def test_the_workflow_fetches_the_data_that_the_loaders_accept():
    action = text(".github", "actions", "data", "action.yml")
    assert bccd._COMMIT in action
    assert clothing._COMMIT in action
    assert omniglot._HOME + "images_background_$part.zip" in action


def test_hooks_and_forms_are_well_formed():
    hooks = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"][0]["hooks"]
    extras = tomllib.loads(text("pyproject.toml"))["project"]["optional-dependencies"]
    ruff = next(name for name in extras["test"] if name.startswith("ruff"))
    assert [hook["additional_dependencies"] for hook in hooks] == [[ruff], [ruff]]
    for form in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")):
        fields = yaml.safe_load(form.read_text(encoding="utf-8"))["body"]
        assert len({field["id"] for field in fields}) == len(fields) > 1

"""A run on digits as `keras-metric train` leaves it, but untrained, and its page in service."""

import http.client
import importlib.util
import io
import json
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from zoo.cli import main
from zoo.datasets.sources import digits
from zoo.files import write_json
from zoo.inference.bulk import networks
from zoo.recipe import get
from zoo.runs.runs import Run

for package in ("starlette", "uvicorn", "faiss", "pyarrow", "sklearn", "matplotlib"):
    pytest.importorskip(package)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The folder of a run: random convolutions tell digits apart well enough."""
    keras.utils.set_random_seed(3)
    recipe, run = get("digits-triplet"), Run(tmp_path_factory.mktemp("demo") / "digits-triplet")
    settings = recipe.resolve_settings({"embedding": 64})
    run.begin(recipe.name, settings)
    recipe.build(settings, recipe.data(settings, None)).save(run.model)
    known = {"recipe": recipe.name, "settings": settings, "results": {}}
    unknown = ("baselines", "data", "training", "versions")
    write_json(run.metrics, {**known, **{key: {} for key in unknown}})
    return run


@pytest.fixture(scope="session")
def network(run):
    return networks.load(networks.locate(run.folder))


@pytest.fixture(scope="session")
def gallery(run, network):
    from zoo.demo.recipe_gallery import of_run

    return of_run(run, network, None, None)


@pytest.fixture(scope="session")
def serving():
    """`gallery -> server`: its page answers on a port of this process until the tests end."""
    import uvicorn

    from zoo.demo.classes import ClassDesk
    from zoo.demo.desk import Desk
    from zoo.demo.running import bound
    from zoo.demo.web import application

    running = []

    def started(gallery):
        desk = gallery if isinstance(gallery, ClassDesk) else Desk(gallery)
        app = application(desk, name="digits")
        web, listening = uvicorn.Server(uvicorn.Config(app, log_level="error")), bound(0)
        thread = threading.Thread(target=web.run, kwargs={"sockets": [listening]})
        thread.start()
        running.append((web, thread))
        return SimpleNamespace(port=listening.getsockname()[1])

    yield started
    for web, thread in running:
        web.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def server(serving, gallery):
    return serving(gallery)


@pytest.fixture(scope="session")
def ask():
    """`(server, path, body, headers) -> status, content`: JSON as what it says, else bytes."""

    def asked(server, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
        if body is not None:
            headers = {"Content-Type": "application/octet-stream", **headers}
        connection.request("GET" if body is None else "POST", path, body, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if response.headers["content-type"] == "application/json":
            content = json.loads(content)
        return response.status, content

    return asked


@pytest.fixture(scope="session")
def files():
    """The mutations that the tests of the server use."""
    return module(Path(__file__).parents[2] / "serve" / "mutated_inputs.py")


@pytest.fixture(scope="session")
def browsers():
    """The module `browser.py` beside this one."""
    return module(Path(__file__).with_name("browser.py"))


def module(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="session")
def as_png():
    """`pixels (H, W, C) -> bytes` of a PNG file."""

    def made(pixels, **options):
        file = io.BytesIO()
        keras.utils.array_to_img(pixels, scale=False).save(file, "PNG", **options)
        return file.getvalue()

    return made


@pytest.fixture(scope="session")
def photos(tmp_path_factory, as_png):
    """Five files of each of four digits, in a sub-folder of its name."""
    folder = tmp_path_factory.mktemp("photos")
    loaded = digits.load()
    for name in "1357":
        (folder / name).mkdir()
        for number in np.flatnonzero(loaded.labels == int(name))[:5]:
            (folder / name / f"{number}.png").write_bytes(as_png(loaded.images[number]))
    return folder


@pytest.fixture(scope="session")
def indexed(run, photos, tmp_path_factory):
    """A run beside its index, which names no threshold."""
    folder = tmp_path_factory.mktemp("indexed") / "run"
    shutil.copytree(run.folder, folder)
    assert main(["index", str(folder), str(photos)]) == 0
    return Run(folder)

"""A hub of models on loopback: as much of its interface as `huggingface_hub` asks for here."""

import base64
import hashlib
import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "a-token"


class Hub(ThreadingHTTPServer):
    """Models by name, each the list of its commits: `{path: bytes}`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.models: dict[str, list[dict[str, bytes]]] = {}
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
        numbers = range(len(self.models[name]))
        found = [n for n in numbers if revision in ("main", oid(n))] or [int(revision[1:])]
        return oid(found[-1]), self.models[name][found[-1]]


def oid(number: int) -> str:
    """The name of a commit; `vN` is its tag."""
    return f"{number + 1:040x}"


class Answers(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self, body=True):
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(path)
        try:
            if path.startswith("/api/models/"):
                self._described(path.removeprefix("/api/models/").split("/"))
            else:
                owner, name, _, revision, file = path[1:].split("/", 4)
                self._file(f"{owner}/{name}", revision, file, body)
        except (KeyError, ValueError, IndexError):
            self._say(404, {"error": "not found"}, code="RepoNotFound")

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        parts = urlsplit(self.path).path.removeprefix("/api/").split("/")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._say(401, {"error": "who are you?"})
        if parts == ["validate-yaml"]:
            return self._say(200, {"errors": [], "warnings": []})
        if parts == ["repos", "create"]:
            asked = json.loads(sent)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            self.server.models.setdefault(name, [{}])
            return self._say(200, {"url": f"{self.server.address}/{name}", "name": name})
        name = "/".join(parts[1:3])
        if parts[3] == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for file in json.loads(sent)["files"]
            ]
            return self._say(200, {"files": files, "commitOid": oid(0)})
        lines = [json.loads(line) for line in sent.splitlines()]
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"])
            for line in lines
            if line["key"] == "file"
        }
        self.server.models[name].append(self.server.models[name][-1] | files)
        number = len(self.server.models[name]) - 1
        address = f"{self.server.address}/{name}/commit/{oid(number)}"
        return self._say(200, {"commitUrl": address, "commitOid": oid(number), "success": True})

    def _described(self, parts):
        sha, files = self.server.commit("/".join(parts[:2]), parts[3] if parts[3:] else "main")
        if parts[2] == "tree":
            self._say(
                200,
                [
                    {"type": "file", "path": path, "size": len(content), "oid": _digest(content)}
                    for path, content in files.items()
                ],
            )
        else:
            siblings = [{"rfilename": path} for path in files]
            self._say(200, {"id": "/".join(parts[:2]), "sha": sha, "siblings": siblings})

    def _file(self, name, revision, path, body):
        sha, files = self.server.commit(name, revision)
        self.send_response(200)
        self.send_header("Content-Length", str(len(files[path])))
        self.send_header("ETag", f'"{_digest(files[path])}"')
        self.send_header("X-Repo-Commit", sha)
        self.end_headers()
        if body:
            self.wfile.write(files[path])

    def _say(self, status, content, code=None):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        self.wfile.write(data if self.command != "HEAD" else b"")

    def log_message(self, *given):
        pass


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture(scope="module")
def hub():
    """A hub that answers while the tests of a file run."""
    pytest.importorskip("huggingface_hub")
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def ask(hub, python, tmp_path_factory):
    """Runs a command or Python code in a process that knows this hub, its cache in one place."""
    place = tmp_path_factory.mktemp("cache")
    known = {"HF_ENDPOINT": hub.address, "HF_HOME": str(place), "HF_HUB_DISABLE_TELEMETRY": "1"}

    def asked(*arguments, token=TOKEN):
        environment = os.environ | known | {"HF_TOKEN": token}
        return subprocess.run(
            [*python, *map(str, arguments)], capture_output=True, text=True, env=environment
        )

    return asked

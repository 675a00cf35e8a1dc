"""Chromium without a window, driven over a pipe by its own protocol: nothing to install for it."""

import base64
import contextlib
import fcntl
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--no-sandbox")
SECONDS = 120

# Chromium reads questions from file 3 and writes answers to file 4.
LAUNCH = "import os, sys; [os.dup2(int(n), m) for n, m in zip(sys.argv[1:3], (3, 4))]; "
LAUNCH += "os.execvp(sys.argv[3], sys.argv[3:])"


class Browser:
    """One page of a browser; `page("expression")` is the value of its JavaScript, awaited."""

    def __init__(self, profile):
        command = [find(), *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        (heard, questions), (answers, said) = os.pipe(), os.pipe()
        ends = [fcntl.fcntl(number, fcntl.F_DUPFD, 10) for number in (heard, said)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *map(str, ends), *command],
            pass_fds=ends,
            stderr=subprocess.DEVNULL,
        )
        for number in (heard, said, *ends):
            os.close(number)
        self._questions, self._answers = os.fdopen(questions, "wb"), os.fdopen(answers, "rb")
        self._numbers, self._session = itertools.count(1), {}
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        found = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": found["sessionId"]}

    def ask(self, method, **parameters):
        number = next(self._numbers)
        question = {"id": number, "method": method, "params": parameters, **self._session}
        self._questions.write(json.dumps(question).encode() + b"\0")
        self._questions.flush()
        while True:
            answer = json.loads(self._message())
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _message(self):
        parts = []
        while (one := self._answers.read(1)) != b"\0":
            assert one, "the browser is gone"
            parts.append(one)
        return b"".join(parts)

    def __call__(self, expression):
        options = {"awaitPromise": True, "returnByValue": True}
        found = self.ask("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def show(self, address, *, size=(1280, 1500), dark=False):
        """Open a page and wait until it has said all it has to say; returns its last word."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=size[0], height=size[1], deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.navigate", url=address)
        return self.settled()

    def settled(self):
        """Wait for the page's last word: ready, or failed."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            state = self("document.body?.dataset.state ?? 'busy'")
            if state in ("ready", "failed"):
                self("Promise.all([...document.images].map((x) => x.decode().catch(() => 0)))")
                return state
            time.sleep(0.05)
        raise TimeoutError("The page did not settle.")

    def choose(self, selector, file):
        """Give a file to a chooser, as a person does."""
        self("document.body.dataset.state = 'busy'")
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", nodeId=node, files=[str(file)])
        return self.settled()

    def click(self, selector):
        self("document.body.dataset.state = 'busy'")
        self(f"document.querySelector({json.dumps(selector)}).click()")
        return self.settled()

    def pixels(self, selector=None):
        """What is seen of the page, or of one of its elements: `(H, W, 3)` uint8."""
        clip = {}
        if selector:
            sides = "(({x, y, width, height}) => ({x: x + scrollX, y: y + scrollY, width, height}))"
            box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
            clip = {"clip": {**self(f"{sides}({box})"), "scale": 1}}
        found = self.ask("Page.captureScreenshot", captureBeyondViewport=True, **clip)
        with Image.open(io.BytesIO(base64.b64decode(found["data"]))) as image:
            return np.asarray(image.convert("RGB"))

    def close(self):
        with contextlib.suppress(OSError):
            self._questions.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()


def find() -> str:
    """The browser of this machine; without one the test is skipped, or fails where one must be."""
    found = next(filter(works, filter(None, map(shutil.which, NAMES))), None)
    if found is None:
        reason = f"no browser: expected one of {', '.join(NAMES)}"
        if os.environ.get("KERAS_METRIC_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def works(name: str) -> bool:
    """Whether the command is a browser, and no word on how to install one."""
    return subprocess.run([name, "--version"], capture_output=True).returncode == 0

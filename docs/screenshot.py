"""The picture of the demo's page in the docs.

    python docs/screenshot.py out/digits-triplet

serves the page of a run, photographs it in Chromium, and writes docs/demo.webp.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "demo.webp"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE, WIDTH = (1280, 1480), 1000
BEGIN = "?picture=sample-3&scene=scene-0"


def photograph(run: str, target: Path = TARGET) -> Path:
    """Write the picture of the page of a run; returns its path.

    Raises:
        FileNotFoundError: there is no Chromium on this machine.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise FileNotFoundError(
            f"No browser. Expected: one of {', '.join(BROWSERS)} on the path. Received: none."
        )
    command = [sys.executable, "-m", "zoo", "demo", run, "--port", "0", "--no-browser"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as served,
    ):
        try:
            address = next(filter(None, (re.search(r"http://\S+", x) for x in served.stderr)))[0]
            shot = Path(folder) / "page.png"
            flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
            flags += ["--virtual-time-budget=60000", f"--window-size={SIZE[0]},{SIZE[1]}"]
            flags += [f"--user-data-dir={folder}/profile", f"--screenshot={shot}"]
            subprocess.run([browser, *flags, address + BEGIN], check=True, capture_output=True)
        finally:
            served.terminate()
        with Image.open(shot) as picture:
            small = picture.convert("RGB").resize((WIDTH, WIDTH * SIZE[1] // SIZE[0]))
            small.save(target, quality=80, method=6)
    return target


if __name__ == "__main__":
    print(photograph(sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__)))

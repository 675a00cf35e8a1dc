"""Make the environment of one peer (or of all of the benchmarks), apart from ours.

    python benchmarks/peers/make.py tensorflow-addons
    python benchmarks/peers/make.py --into FOLDER        # all of the benchmarks
    python benchmarks/peers/make.py ovmsclient           # a client that a slow test asks through

Each environment is a folder of its own: FOLDER/NAME, with what NAME.txt beside this file pins, and
then what NAME.alone.txt pins (where there is one), without what that asks for.
An environment that already has what its files say is left as it is.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOSSES = ("tensorflow-addons", "tensorflow-similarity", "pytorch-metric-learning")
MAPS = ("pytorch-grad-cam", "torchcam", "captum", "tf-keras-vis", "tf-explain", "xplique")
CLEANING = ("cleaning",)  # imagededup and cleanlab together
PEERS = LOSSES + MAPS + CLEANING
CLIENTS = ("ovmsclient", "tensorflow-serving-api")
OURS = "keras-metric"


def default_folder() -> Path:
    """Where environments live when nobody says: the user's cache, never the repository."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return cache / "keras-metric" / "peers"


def interpreter(peer: str, *, folder: Path | None = None) -> Path:
    """The Python of a peer's environment. Our own name gives the Python that is running now."""
    if peer == OURS:
        return Path(sys.executable)
    return (folder or default_folder()) / peer / "bin" / "python"


def make(peer: str, folder: Path) -> Path:
    """Create (or complete) the environment of `peer` and return its interpreter."""
    known = PEERS + CLIENTS
    if peer not in known:
        raise ValueError(f"unknown peer. Expected: one of {', '.join(known)}. Received: {peer!r}")
    python = interpreter(peer, folder=folder)
    stamp = folder / peer / "made-from.sha256"
    pinned, alone = HERE / f"{peer}.txt", HERE / f"{peer}.alone.txt"
    files = [pinned, alone] if alone.exists() else [pinned]
    wanted = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        print(f"{peer}: up to date in {folder / peer}")
        return python
    print(f"{peer}: installing into {folder / peer}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder / peer], check=True)
    for file in files:
        install = [python, "-m", "pip", "install", "--quiet", "-r", file]
        subprocess.run(install + (["--no-deps"] if file == alone else []), check=True)
    stamp.write_text(wanted)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(PEERS + CLIENTS)}")
    parser.add_argument("--into", type=Path, default=default_folder(), metavar="FOLDER")
    arguments = parser.parse_args()
    if sys.version_info[:2] != (3, 11) and "tensorflow-addons" in (arguments.peers or PEERS):
        parser.error(
            "TF Addons needs Python 3.11 here (its last wheels are for 3.9 to 3.11). "
            f"Received: Python {sys.version_info.major}.{sys.version_info.minor}"
        )
    for peer in arguments.peers or PEERS:
        make(peer, arguments.into)


if __name__ == "__main__":
    main()

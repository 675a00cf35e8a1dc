"""The local server under load, and what `explain` costs beside `classify`.

    python benchmarks/serving.py                              4 clients x 500 requests
    python benchmarks/serving.py --clients 1 --requests 50    quick

Networks of `zoo.encoders` with random weights are exported and served in a process of their own,
over REST. Under load every client sends one file a request, PNG and JPEG, and every fifth is broken
in some way; each answer is compared with that of the same file alone. The ratio is of one client
that asks for classes and explanations in turn: in a turn each is asked for once; told are medians.
"""

import argparse
import base64
import http.client
import io
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from tables import duration, machine

from zoo.files import write_json, write_text

NETWORKS = {"resnet18": 64, "keras.applications.MobileNetV2": 224}
SIGNATURES = ("bytes", "classify_bytes", "explain_bytes")
CLASSES = 100
BROKEN_EVERY = 5


class Client:
    """One connection that asks with one file and waits for the answer."""

    def __init__(self, port: int):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def __call__(self, signature: str, file: bytes) -> tuple[float, dict]:
        row = {"b64": base64.b64encode(file).decode()}
        body = json.dumps({"signature_name": signature, "instances": [row]})
        began = time.perf_counter()
        self.connection.request("POST", "/v1/models/served:predict", body)
        response = self.connection.getresponse()
        content = response.read()
        seconds = time.perf_counter() - began
        if response.status != 200:
            raise RuntimeError(f"Expected: an answer. Received: {response.status} {content!r:.300}")
        return seconds, json.loads(content)["predictions"][0]


def files(side: int, seed: int = 0) -> list[bytes]:
    """Twenty pictures as PNG and JPEG, every fifth of them broken."""
    draw = np.random.default_rng(seed)
    found = []
    for number in range(20):
        coarse = draw.integers(0, 256, (8, 8, 3), np.uint8)
        picture = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        picture.save(file, ("PNG", "JPEG")[number % 2])
        data = file.getvalue()
        broken = (data[: len(data) // 2], b"", b"no picture", draw.bytes(5000))
        found.append(broken[number // BROKEN_EVERY] if is_broken(number) else data)
    return found


def is_broken(number: int) -> bool:
    return number % BROKEN_EVERY == BROKEN_EVERY - 1


def exported(name: str, folder: Path) -> Path:
    """The network as a SavedModel with labels, in a folder of versions."""
    import keras

    from keras_metric.export import saved_model
    from zoo import encoders

    keras.utils.set_random_seed(0)
    shape = (NETWORKS[name], NETWORKS[name], 3)
    model = encoders.build(name, shape, classes=CLASSES, pooling="average", activation="softmax")
    labels = [f"class {number}" for number in range(CLASSES)]
    saved_model(model, folder, labels=labels, signatures=SIGNATURES)
    return folder


@contextmanager
def server(folder: Path):
    """A server of the folder in its own process; its REST port."""
    command = [sys.executable, "-m", "zoo", "serve", folder, "--name", "served"]
    process = subprocess.Popen(
        [*command, "--rest-port", "0", "--grpc-port", "0"], stderr=subprocess.PIPE, text=True
    )
    try:
        said = ""
        while not (found := re.search(r"localhost:(\d+)/", said)):
            line = process.stderr.readline()
            if not line:
                raise RuntimeError(f"Expected: a server. Received: {said}")
            said += line
        yield int(found[1])
    finally:
        process.terminate()
        process.wait(30)


def check(found: dict, alone: dict, number: int) -> None:
    """Raise unless an answer under load is that of file `number` alone."""
    for key, value in alone.items():
        same = np.array_equal if key == "labels" else np.allclose
        if not same(found[key], value):
            raise ValueError(f"Expected: {key} {value!r:.200}. Received: {found[key]!r:.200}")
    if found["valid"] == is_broken(number):
        raise ValueError(f"Expected: file {number} to be {'in' * is_broken(number)}valid.")


def load(port: int, signature: str, sent: list[bytes], clients: int, requests: int) -> dict:
    """Seconds of each request of all clients at once."""
    ask = Client(port)
    alone = [ask(signature, file)[1] for file in sent]
    seconds: list[float] = []
    faults: list[Exception] = []

    def work(client: int):
        draw, mine = np.random.default_rng(client), Client(port)
        try:
            for number in draw.integers(len(sent), size=requests):
                took, found = mine(signature, sent[number])
                check(found, alone[number], number)
                seconds.append(took)
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(client,)) for client in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    low, middle, high = np.percentile(seconds, [50, 90, 99]).tolist()
    rate = len(seconds) / (time.perf_counter() - began)
    answers = {"requests": len(seconds), "a second": rate}
    return {"signature": signature, **answers, "p50": low, "p90": middle, "p99": high}


def ratio(port: int, sent: list[bytes], turns: int) -> dict:
    """Median seconds of `classify_bytes` and `explain_bytes`, asked in turn, and their ratio."""
    ask, good = Client(port), [file for i, file in enumerate(sent) if not is_broken(i)]
    pairs = []
    for turn in range(turns + 5):
        both = SIGNATURES[1:] if turn % 2 else SIGNATURES[:0:-1]
        took = {name: ask(name, good[turn % len(good)])[0] for name in both}
        pairs.append([took["classify_bytes"], took["explain_bytes"]])
    classify, explain = np.median(pairs[5:], axis=0).tolist()
    return {"classify": classify, "explain": explain, "ratio": explain / classify}


def tables(loads: list[dict], ratios: dict[str, dict]) -> str:
    lines = ["| signature | requests | a second | p50 | p90 | p99 |", "|---" * 6 + "|"]
    for row in loads:
        times = " | ".join(duration(row[name]) for name in ("p50", "p90", "p99"))
        lines.append(
            f"| `{row['signature']}` | {row['requests']:,} | {row['a second']:.0f} | {times} |"
        )
    lines += ["", "| network | `classify_bytes` | `explain_bytes` | ratio |", "|---" * 4 + "|"]
    for name, row in ratios.items():
        side, times = NETWORKS[name], f"{duration(row['classify'])} | {duration(row['explain'])}"
        lines.append(f"| `{name}`, {side} x {side} | {times} | {row['ratio']:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--requests", type=int, default=500, help="of each client")
    parser.add_argument("--turns", type=int, default=200, help="of classify and explain")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument(
        "--models", type=Path, help="keep the SavedModels there, or use those there"
    )
    options = parser.parse_args()
    loads, ratios = [], {}
    with tempfile.TemporaryDirectory() as folder:
        home = options.models or Path(folder)
        for name, side in NETWORKS.items():
            place = home / name
            served = place if place.exists() else exported(name, place)
            with server(served) as port:
                if not loads:
                    options_of_load = (files(side), options.clients, options.requests)
                    loads = [load(port, signature, *options_of_load) for signature in SIGNATURES]
                ratios[name] = ratio(port, files(side), options.turns)
    text = tables(loads, ratios)
    write_text(options.out / "serving.md", text)
    write_json(
        options.out / "serving.json", {"machine": machine(), "load": loads, "ratios": ratios}
    )
    print(text)


if __name__ == "__main__":
    main()

"""Faults that are planted among photographs, and how many of them `keras-metric clean` finds.

    python benchmarks/cleaning.py FOLDER                   # a sub-folder a class
    python benchmarks/cleaning.py FOLDER --seeds 0 1 2 --peers

Of FOLDER's photographs 3,000 are copied to a temporary folder. 100 get a copy that was re-encoded,
resized, cropped by 5 % a side, mirrored or brightened (20 each), and 100 others move to the folder
of another class, drawn at random. What is found is counted against that: a photograph that was
duplicated or labelled wrongly before counts as a false alarm, so true precision is higher.

--peers: the same folder through the perceptual hashes of imagededup, and our embeddings and
held-out probabilities through cleanlab, in an environment of their own (benchmarks/peers/make.py).
The bars of the peers are their defaults.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

KINDS = ("re-encoded", "resized", "cropped", "mirrored", "brightened")
HERE = Path(__file__).resolve().parent


def plant(source: Path, target: Path, seed: int, photos: int = 3000, faults: int = 100) -> dict:
    """Copy photographs with faults: {"duplicates": [[copy, original]], "labels": [file]}."""
    rng = np.random.default_rng(seed)
    files = sorted(path for path in source.glob("*/*") if path.is_file())
    files = [files[row] for row in sorted(rng.permutation(len(files))[:photos])]
    classes = sorted({file.parent.name for file in files})
    order = rng.permutation(len(files))
    wrong, truth, place = set(order[faults : 2 * faults]), {"duplicates": [], "labels": []}, {}
    for row, file in enumerate(files):
        label = file.parent.name
        if row in wrong:
            label = str(rng.choice([one for one in classes if one != label]))
            truth["labels"].append(f"{label}/{file.name}")
        place[row] = f"{label}/{file.name}"
        (target / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target / place[row])
    for number, row in enumerate(order[:faults]):
        kind = KINDS[number % len(KINDS)]
        copy = f"{place[row].partition('/')[0]}/{rng.bytes(8).hex()}.jpg"
        with Image.open(files[row]) as image:
            changed, quality = _changed(image.convert("RGB"), kind, rng)
        changed.save(target / copy, quality=quality)
        truth["duplicates"].append([copy, place[row]])
    return truth


def _changed(image: Image.Image, kind: str, rng: np.random.Generator) -> tuple[Image.Image, int]:
    width, height = image.size
    if kind == "re-encoded":
        return image, int(rng.integers(30, 60))
    if kind == "resized":
        scale = rng.uniform(0.5, 0.8)
        size = round(width * scale), round(height * scale)
        return image.resize(size, Image.Resampling.LANCZOS), 92
    if kind == "cropped":
        across, down = round(width * 0.95), round(height * 0.95)
        x, y = int(rng.integers(0, width - across + 1)), int(rng.integers(0, height - down + 1))
        return image.crop((x, y, x + across, y + down)), 92
    if kind == "mirrored":
        return ImageOps.mirror(image), 92
    return ImageEnhance.Brightness(image).enhance(rng.uniform(1.2, 1.4)), 92


def ours(folder: Path, work: Path, model: str) -> tuple[set, set, dict]:
    """Pairs and files with suspect labels that we find, and what a peer is given."""
    from zoo.cleaning import clean
    from zoo.cleaning.labels import _held_out_scores

    found = clean(model, [str(folder)], work)
    names = [str(Path(file).relative_to(folder.resolve())) for file in found.photos.files]
    pairs = {
        frozenset((names[pair.first], names[pair.second]))
        for group in found.duplicates
        for pair in group.pairs
    }
    labels = np.unique(found.photos.labels, return_inverse=True)[1]
    scores = _held_out_scores(found.photos.embeddings, labels, np.arange(len(labels)), 0)
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    given = {
        "names": names,
        "labels": labels.tolist(),
        "probabilities": (chances / chances.sum(axis=1, keepdims=True)).tolist(),
    }
    return pairs, {names[one.row] for one in found.suspects or ()}, given


def peers(folder: Path, given: dict) -> dict:
    """Pairs by each hash of imagededup, and the label issues of cleanlab."""
    from peers.make import interpreter

    answer = subprocess.run(
        [interpreter("cleaning"), HERE / "cleaning_contenders.py", folder],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout.splitlines()[-1])


def quality(found: set, planted: set) -> str:
    hits = len(found & planted)
    return f"{len(found):5d} found, precision {hits / max(1, len(found)):.3f}, recall " + (
        f"{hits / len(planted):.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--peers", action="store_true")
    options = parser.parse_args()
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root) / "photos"
            truth = plant(options.folder, folder, seed)
            copies = {frozenset(pair) for pair in truth["duplicates"]}
            wrong = set(truth["labels"])
            start = time.process_time()
            pairs, suspects, given = ours(folder, Path(root) / "work", options.model)
            print(f"seed {seed}, {time.process_time() - start:.0f} CPU-seconds")
            print(f"  duplicates  keras-metric          {quality(pairs, copies)}")
            print(f"  labels      keras-metric          {quality(suspects, wrong)}")
            for name, answer in (peers(folder, given) if options.peers else {}).items():
                if name == "cleanlab":
                    print(f"  labels      {name:21s} {quality(set(answer), wrong)}")
                else:
                    found = {frozenset(pair) for pair in answer}
                    print(f"  duplicates  {name:21s} {quality(found, copies)}")


if __name__ == "__main__":
    main()

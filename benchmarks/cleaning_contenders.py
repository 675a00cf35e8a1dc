"""What imagededup and cleanlab find; run by benchmarks/cleaning.py in their own environment."""

import contextlib
import io
import json
import sys
from pathlib import Path

import numpy as np


def duplicates(folder: Path, names: list[str]) -> dict[str, list[list[str]]]:
    """Pairs by each hash, at its default distance."""
    from imagededup import methods

    found = {}
    for kind in ("PHash", "DHash", "AHash", "WHash"):
        hasher = getattr(methods, kind)(verbose=False)
        codes = {name: hasher.encode_image(str(folder / name)) for name in names}
        answer = hasher.find_duplicates(encoding_map=codes)
        pairs = {tuple(sorted((one, other))) for one, near in answer.items() for other in near}
        found[f"imagededup {kind}"] = sorted(map(list, pairs))
    return found


def label_issues(names: list[str], labels: list[int], probabilities) -> list[str]:
    from cleanlab.filter import find_label_issues

    rows = find_label_issues(
        np.array(labels), np.array(probabilities), return_indices_ranked_by="self_confidence"
    )
    return [names[row] for row in rows]


if __name__ == "__main__":
    given = json.load(sys.stdin)
    with contextlib.redirect_stdout(io.StringIO()):
        answer = duplicates(Path(sys.argv[1]), given["names"])
        answer["cleanlab"] = label_issues(given["names"], given["labels"], given["probabilities"])
    print(json.dumps(answer))

"""Loss and gradient, time and memory, beside TF Addons, TF Similarity, pytorch-metric-learning.

    python benchmarks/peers/make.py        # once: the peers' environments
    python benchmarks/losses.py            # the whole table
    python benchmarks/losses.py --sizes 128 256 --cases hard --out out/try --budget-minutes 5

Writes losses.json (every finished cell: a second run goes on where the first stopped), losses.md
and losses.png into --out. README.md beside this file says how it is measured.
"""

import losses_contenders
from command import compare

if __name__ == "__main__":
    compare(
        losses_contenders,
        "losses",
        sizes=(128, 256, 512, 1024, 2048, 4096, 8192, 16384),
        size_name="B",
        cell_seconds=180,
        rounds=5,
        starts=5,
        summary=__doc__.splitlines()[0],
    )

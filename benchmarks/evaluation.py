"""Retrieval measures of N embeddings against each other, time and memory, beside the peers.

    python benchmarks/peers/make.py pytorch-metric-learning    # once
    python benchmarks/evaluation.py                            # 10,000 and 100,000
    python benchmarks/evaluation.py --sizes 2000 --out out/try

Writes evaluation.json (every finished cell: a second run goes on where the first stopped),
evaluation.md and evaluation.png into --out. README.md beside this file says how it is measured.
"""

import evaluation_contenders
from command import compare

if __name__ == "__main__":
    compare(
        evaluation_contenders,
        "evaluation",
        sizes=(10_000, 100_000),
        size_name="N",
        cell_seconds=3600,
        rounds=1,
        summary=__doc__.splitlines()[0],
    )

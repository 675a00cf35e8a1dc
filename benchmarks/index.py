"""Building and searching an index of N embeddings, time, memory and recall, beside the peers.

    python benchmarks/peers/make.py tensorflow-similarity    # once
    python benchmarks/index.py                               # 10,000 and 100,000
    python benchmarks/index.py --sizes 2000 --out out/try

Writes index.json (every finished cell: a second run goes on where the first stopped), index.md and
index.png into --out. README.md beside this file says how it is measured.
"""

import index_contenders
from command import compare

if __name__ == "__main__":
    compare(
        index_contenders,
        "index",
        sizes=(10_000, 100_000),
        size_name="N",
        cell_seconds=900,
        rounds=5,
        summary=__doc__.splitlines()[0],
    )

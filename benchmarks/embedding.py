"""Embedding a folder of photographs, time and memory, beside `model.predict` over the same folder.

    python benchmarks/embedding.py                     # 1,000 photographs
    python benchmarks/embedding.py --sizes 200 --out out/try

The photographs are those of the clothing data set, in KERAS_METRIC_DATA or `../shared/data`. Writes
embedding.json, embedding.md and embedding.png into --out. README.md beside this file says how it
is measured.
"""

import embedding_contenders
from command import compare

if __name__ == "__main__":
    compare(
        embedding_contenders,
        "embedding",
        sizes=(1000,),
        size_name="photographs",
        cell_seconds=3600,
        rounds=5,
        summary=__doc__.splitlines()[0],
    )

"""embed a folder of images into Parquet shards, for an index or any other reader

FOLDER can also be a list (CSV or TSV): one line per image with the path and, if there is one, the
label. Every image below the folder is rotated upright, stretched to the model's input size and
embedded. The label of an image is the name of its sub-folder. Memory does not grow with the number
of images. A run that was killed resumes with the same command; complete shards are never computed
again.

DIR contains part-00000.parquet, ... (path, label, embedding), skipped.json (every other file below
the folder, with the reason) and manifest.json. The shards store a fingerprint of the weights that
made them: shards of another model or another folder are refused.

--engine ray embeds on a Ray cluster and writes the same shards; it resumes in the same way. Images,
model and DIR must have the same paths on all machines, and keras-metric must be installed on each.

examples:
  keras-metric embed out/digits-triplet photos/ -o shards/
  keras-metric embed encoder.keras photos/ -o shards/ --size 224x224
  keras-metric embed out/digits-triplet/saved_model photos/ -o shards/ --engine ray --workers 2
  keras-metric embed served/birds /mnt/photos -o /mnt/shards --engine ray --address 10.0.0.5:6379

exit codes: 0 all images embedded, 3 some could not be read and were skipped (they are listed), 1
nothing embedded (the reason is on standard error)
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from zoo.commands import Answer
from zoo.commands._pictures import SKIPPED
from zoo.commands._retrieval import add_network, network_options, others_lines

TOLD = 20

MUST_EXIST = {
    "model": "a .keras file, a run or a SavedModel",
    "folder": "a folder of images, or a list of them",
}


def arguments(parser: ArgumentParser) -> None:
    add_network(parser)
    parser.add_argument("folder", metavar="FOLDER", help="images, or a list of them (CSV, TSV)")
    parser.add_argument("-o", "--out", required=True, metavar="DIR", help="folder of the shards")
    parser.add_argument(
        "--batch", type=int, default=64, metavar="N", help="images at a time (default: 64)"
    )
    parser.add_argument(
        "--shard", type=int, default=1024, metavar="N", help="images per shard (default: 1024)"
    )
    parser.add_argument(
        "--engine",
        choices=("plain", "ray"),
        default="plain",
        help="plain: this process; ray: workers, which need a SavedModel (default: plain)",
    )
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="of a Ray cluster (default: one started here)"
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="threads that decode, or actors of Ray (default: one for each core)",
    )
    parser.add_argument("--force", action="store_true", help="replace the shards that are there")


def run(options: Namespace) -> Answer:
    from zoo.inference.bulk import embed

    manifest = embed(
        options.model,
        options.folder,
        options.out,
        engine=options.engine,
        address=options.address,
        workers=options.workers,
        **network_options(options),
        batch=options.batch,
        shard_size=options.shard,
        force=options.force,
    )
    skipped = manifest["skipped"]
    out = Path(options.out)
    lines = [
        f"{out}: {manifest['rows']:,} embeddings of {manifest['dimensions']} numbers in "
        f"{len(manifest['shards'])} shards, model {manifest['model'][:12]}"
    ]
    lines += [f"skipped {one['image']}: {one['reason']}" for one in skipped[:TOLD]]
    if skipped:
        lines.append(
            f"{len(skipped)} of {manifest['rows'] + len(skipped):,} images skipped; all are in "
            f"{out / 'skipped.json'}"
        )
    lines += others_lines(manifest["others"])
    return Answer({"out": str(out), **manifest}, "\n".join(lines), SKIPPED if skipped else 0)

"""Options and messages that the search commands share."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from zoo.commands._pictures import add_resizing, height_and_width

TOLD = 20


def add_network(parser: ArgumentParser) -> None:
    """The model, and the options for models of any size or with two networks."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a .keras file, a run, a SavedModel, or a name: a trained model "
        "(`keras-metric list --trained`) or a backbone such as efficientnet_lite0",
    )
    add_network_options(parser)


def add_network_options(parser: ArgumentParser) -> None:
    """How pictures become inputs, and which output is the embedding."""
    parser.add_argument("--size", metavar="HxW", help="for a model that takes images of any size")
    parser.add_argument("--branch", metavar="NAME", help="which network, of a model with two")
    parser.add_argument(
        "--pixels",
        metavar="RANGE",
        help="0..1 or -1..1 for a model trained on pixels scaled outside of it (default: the "
        "model's own, else 0..255)",
    )
    add_resizing(parser)
    parser.add_argument(
        "--layer", metavar="NAME", help="of a classifier: the layer whose output is the embedding"
    )


def network_options(options: Namespace) -> dict[str, Any]:
    """What `add_network` was given, as `zoo.inference` takes it."""
    return {
        "size": height_and_width(options.size, "--size"),
        "branch": options.branch,
        "pixels": options.pixels,
        "resize": options.resize,
        "fill": options.fill,
        "interpolation": options.interpolation,
        "layer": options.layer,
    }


def add_refinement(parser: ArgumentParser) -> None:
    """Query expansion and re-ranking."""
    parser.add_argument(
        "--expand",
        type=int,
        default=0,
        metavar="K",
        help="search the mean of a photograph and its K nearest instead",
    )
    parser.add_argument(
        "--rerank",
        type=int,
        default=0,
        metavar="N",
        help="order the N nearest by the neighbors they share with the photograph",
    )


def refinement(options: Namespace):
    """The `Refinement` that `add_refinement` was given; None for none."""
    if not options.expand and not options.rerank:
        return None
    from keras_metric.retrieval import Refinement

    return Refinement(expand=options.expand, rerank=options.rerank)


def skipped_lines(found) -> list[str]:
    """What could not be read, a line each, and how many there were."""
    lines = [f"skipped {one['image']}: {one['reason']}" for one in found.skipped[:TOLD]]
    total = len(found.files) + len(found.skipped)
    if lines:
        lines.append(f"{len(found.skipped)} of {total:,} images skipped")
    return [*lines, *others_lines(found.others)]


def others_lines(count: int) -> list[str]:
    return [f"{count:,} files are hidden or no images by their name"] if count else []


def own_place(out: str, suffix: str, *taken: str) -> Path:
    """The file to write, refused unless it ends in `suffix` and is none of those `taken`."""
    place = Path(out)
    if place.suffix != suffix or place.resolve() in {Path(file).resolve() for file in taken}:
        raise ValueError(
            f"The output path is not valid. Expected: -o with a file that ends in {suffix} "
            f"and is not one of the inputs. Received: {out}."
        )
    return place

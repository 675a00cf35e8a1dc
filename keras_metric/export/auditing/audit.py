"""Audit of any SavedModel: will a server load it, and what runs on GPU or CPU?"""

import tempfile
from collections import Counter
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework import kernels

from keras_metric.export.auditing import gpu_operations
from keras_metric.export.auditing.effects import effects
from keras_metric.export.auditing.reachable import nodes_behind
from keras_metric.export.auditing.report import Audit
from keras_metric.export.processes import last_words, run_module
from keras_metric.export.runtime import description
from keras_metric.export.runtime.description import missing_variables
from keras_metric.export.saved_models.versions import latest

_BAKED_IN = 2**20  # bytes of constants that look like weights


def audit(path: str | Path) -> Audit:
    """Check the SavedModel at `path` (a version, or a folder of versions).

    Faults, any of which makes `ok` false:

    - no signature; a server's loader refuses it; files of its variables are missing; assets, tables
      or paths that exist only on the machine that wrote it; operations that the installed
      TensorFlow does not know; megabytes of constants where weights belong in variables;
    - of a signature: a fixed batch size; Python operations; XLA code, which a server refuses by
      default; randomness; and side effects of requests: files read or written, variables, tables
      or queues changed, text printed, other machines contacted.

    Operations without a GPU kernel in the installed TensorFlow are listed in `on_cpu`; this is not
    a fault: files are decoded on the CPU. A build without CUDA has no GPU kernels at all; then the
    list in `gpu_operations`, of a build with CUDA, is used.

    Raises:
        FileNotFoundError: there is no SavedModel.
    """
    folder = latest(path)
    saved = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graphs = [graph for graph in saved.meta_graphs if "serve" in graph.meta_info_def.tags]
    if not graphs:
        return Audit(folder, {}, {}, {}, _sizes(folder), ("no graph has the tag serve",))
    graph = graphs[0]
    signatures = dict(description.signatures(graph.SerializeToString(deterministic=True)))
    hot = {name: _behind(graph, [signature]) for name, signature in signatures.items()}
    operations = _counted(graph, _behind(graph, signatures.values()))
    faults = (
        *([] if signatures else ["no signature: there is nothing to ask"]),
        *_fixed_batches(signatures),
        *(fault for name, nodes in hot.items() for fault in _faults_of(name, nodes)),
        *_unknown(operations),
        *_paths(graph),
        *_baked_in(graph),
        *(_missing(folder) or _loading(folder)),
    )
    return Audit(folder, signatures, operations, _on_cpu(hot), _sizes(folder), faults)


def _behind(graph, signatures) -> list:
    return list(nodes_behind(graph, [t.name for s in signatures for t in s.outputs.values()]))


def _counted(graph, nodes: list) -> dict[str, int]:
    """Operations by their number of places, the most frequent first; calls of functions aside."""
    functions = {function.signature.name for function in graph.graph_def.library.function}
    counts = Counter(node.op for node in nodes if node.op not in functions)
    return dict(counts.most_common())


def _fixed_batches(signatures: dict) -> list[str]:
    return [
        f"signature {name}: input {key} takes {tensor.shape[0]} at a time, no more and no less"
        for name, signature in signatures.items()
        for key, tensor in signature.inputs.items()
        if tensor.shape and tensor.shape[0] != -1
    ]


def _faults_of(signature: str, nodes: list) -> list[str]:
    return [
        f"signature {signature}: {what}: {', '.join(sorted(found))}"
        for what, found in effects(nodes).items()
    ]


def _unknown(operations: dict[str, int]) -> list[str]:
    known = set(tf.raw_ops.__dict__)
    unknown = [op for op in operations if op not in known and not kernels_of(op)]
    return [f"operations unknown to TensorFlow: {', '.join(unknown)}"] if unknown else []


def kernels_of(op: str) -> set[str]:
    """Devices that the installed TensorFlow has a kernel of `op` for."""
    return {kernel.device_type for kernel in kernels.get_registered_kernels_for_op(op).kernel}


def _on_cpu(hot: dict[str, list]) -> dict[str, tuple[str, ...]]:
    """The operations of each signature that have no GPU kernel."""
    listed = None if tf.test.is_built_with_cuda() else gpu_operations.OPERATIONS
    found = {}
    for name, nodes in hot.items():
        operations = sorted({node.op for node in nodes if kernels_of(node.op)})
        found[name] = tuple(op for op in operations if not _runs_on_gpu(op, listed))
    return found


def _runs_on_gpu(op: str, listed: frozenset[str] | None) -> bool:
    if listed is not None:
        return op in listed
    return bool(kernels_of(op) & {"GPU", "DEFAULT"})


def _paths(graph) -> list[str]:
    """Text constants that name a place on the machine of whoever wrote them."""
    found = {
        text.decode(errors="replace")
        for node in _all_nodes(graph)
        if node.op == "Const"
        for text in node.attr["value"].tensor.string_val
        if len(text) > 1
        and (text.startswith((b"/", b"file:", b"\\\\")) or text[1:3] in (b":\\", b":/"))
    }
    found |= {asset.filename for asset in graph.asset_file_def if asset.filename.startswith("/")}
    return [f"a path of another machine: {path}" for path in sorted(found)]


def _baked_in(graph) -> list[str]:
    size = sum(n.attr["value"].tensor.ByteSize() for n in _all_nodes(graph) if n.op == "Const")
    return [f"{size:,} bytes of constants in the graph"] if size > _BAKED_IN else []


def _all_nodes(graph):
    yield from graph.graph_def.node
    for function in graph.graph_def.library.function:
        yield from function.node_def


def _missing(folder: Path) -> list[str]:
    """The loader does not miss the variables; then every request fails."""
    lost = missing_variables(folder)
    return [] if lost is None else [f"the variables are missing: no {lost.relative_to(folder)}"]


def _loading(folder: Path) -> list[str]:
    """Loads it through the C library with XLA off, in a process and an empty directory of its own.

    There no relative path leads to a file, as it would on the machine that wrote it.
    """
    with tempfile.TemporaryDirectory() as empty:
        done = run_module("keras_metric.export.runtime", str(folder.resolve()), folder=empty)
    return [f"a server's loader refuses it: {last_words(done)}"] if done.returncode else []


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes by part: graph, variables, assets."""
    parts = {"graph": "saved_model.pb", "variables": "variables/*", "assets": "assets*/*"}
    return {
        part: sum(file.stat().st_size for file in folder.glob(pattern))
        for part, pattern in parts.items()
    }

"""The nodes that run for a signature, including functions inside functions."""

from collections.abc import Iterator

from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef


def nodes_behind(graph: MetaGraphDef, tensors: list[str]) -> Iterator[NodeDef]:
    """Every node needed for `tensors`, each once; of a called function, all that it holds."""
    nodes = {node.name: node for node in graph.graph_def.node}
    functions = {f.signature.name: f for f in graph.graph_def.library.function}
    waiting, seen, called = [_owner(tensor) for tensor in tensors], set(), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        node = nodes[name]
        waiting += [_owner(source) for source in node.input]
        yield node
        yield from _called(node, functions, called)


def _called(node: NodeDef, functions: dict, called: set[str]) -> Iterator[NodeDef]:
    for name in function_names(node):
        if name in functions and name not in called:
            called.add(name)
            for inner in functions[name].node_def:
                yield inner
                yield from _called(inner, functions, called)


def function_names(node: NodeDef) -> list[str]:
    """The functions a node calls, from its attributes and from its own type."""
    names = [node.op]
    for value in node.attr.values():
        names += [value.func.name] if value.HasField("func") else []
        names += [function.name for function in value.list.func]
    return names


def _owner(tensor: str) -> str:
    """`^node` and `node:1` -> `node`."""
    return tensor.lstrip("^").partition(":")[0]

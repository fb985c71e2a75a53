"""What a SavedModel's graphs may do: every op is named in an allow-list, or the model is refused before it is loaded.

The files are read as protocol buffers; nothing of the model is executed.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from serving.allowed_ops import ALLOWED, ASSET_ONLY, REFUSED, SAVER_ONLY
from serving.manifest import ManifestError

MAIN = "the main graph"


@dataclasses.dataclass(frozen=True)
class Finding:
    """An op that a model may not contain.

    Attributes:
        op: name of the op, or of the file where the finding is not about an op.
        where: the function and the node.
        reason: why it is refused; a clause that continues "it".
    """

    op: str
    where: str
    reason: str


def ops(saved_model_dir: str | Path) -> list[str]:
    """Lists every op of a SavedModel, main graphs and all functions, sorted; calls of its own functions left out."""
    found: set[str] = set()
    for meta_graph in _read(Path(saved_model_dir)).meta_graphs:
        graph = _Graph(meta_graph)
        found.update(node.op for nodes in graph.bodies.values() for node in nodes if node.op not in graph.functions)
    return sorted(found)


def forbidden_ops(saved_model_dir: str | Path) -> list[Finding]:
    """Lists what a SavedModel contains but may not.

    All functions of the library count, whether a signature reaches them or not.

    Args:
        saved_model_dir: folder with `saved_model.pb`.

    Returns:
        Findings in the order of the file; empty when the model may be loaded.

    Raises:
        ManifestError: there is no `saved_model.pb`, or it is not a SavedModel.
    """
    folder = Path(saved_model_dir)
    findings = [
        Finding(
            name, "the folder", "is a second form of the graph that a server may prefer and this check does not read"
        )
        for name in ("saved_model.cpb", "saved_model.pbtxt")
        if (folder / name).exists()
    ]
    for meta_graph in _read(folder).meta_graphs:
        findings.extend(_findings(_Graph(meta_graph)))
    return findings


class _Graph:
    """One meta graph: its nodes by function, and who calls whom."""

    def __init__(self, meta_graph: Any) -> None:
        self.meta = meta_graph
        self.assets = [*meta_graph.asset_file_def, *_assets_of_old(meta_graph)]
        library = meta_graph.graph_def.library.function
        self.functions: dict[str, Any] = {function.signature.name: function for function in library}
        self.main: dict[str, Any] = {node.name: node for node in meta_graph.graph_def.node}
        self.bodies: dict[str, list[Any]] = {MAIN: list(self.main.values())}
        self.bodies.update({name: list(function.node_def) for name, function in self.functions.items()})
        self.saver_nodes, self.saver_functions = self._saver()

    def called(self, node: Any) -> set[str]:
        """Names the library functions a node calls or holds."""
        names = {node.op}
        for value in node.attr.values():
            names.add(value.func.name)
            names.update(function.name for function in value.list.func)
        return names & self.functions.keys()

    def closure(self, nodes: Iterable[Any]) -> set[str]:
        """Names every function reached from some nodes."""
        waiting = set().union(*(self.called(node) for node in nodes))
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            seen.add(name)
            waiting |= set().union(*(self.called(node) for node in self.bodies[name])) - seen
        return seen

    def ancestors(self, roots: Iterable[str]) -> set[str]:
        """Names the main graph's nodes that some tensors depend on, those of the tensors included."""
        waiting = [_node_name(root) for root in roots]
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in self.main and name not in seen:
                seen.add(name)
                waiting.extend(_node_name(source) for source in self.main[name].input)
        return seen

    def _saver(self) -> tuple[set[str], set[str]]:
        """Finds the nodes and functions that only saving and loading of variables uses."""
        saver = self.meta.saver_def
        of_saver = self.ancestors((saver.save_tensor_name, saver.restore_op_name))
        served = self.ancestors(
            output.name for signature in self.meta.signature_def.values() for output in signature.outputs.values()
        )
        nodes = of_saver - served
        functions = self.closure(self.main[name] for name in nodes)
        others = self.closure(node for name, node in self.main.items() if name not in nodes)
        others.update(self.meta.object_graph_def.concrete_functions)
        others |= self.closure(node for name in others & self.functions.keys() for node in self.bodies[name])
        return nodes, functions - others


def _read(folder: Path) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    path = folder / "saved_model.pb"
    try:
        return saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except OSError as error:
        raise ManifestError(f"a SavedModel must hold saved_model.pb, but {path} cannot be read ({error}).") from error
    except DecodeError as error:
        raise ManifestError(
            f"saved_model.pb must be a SavedModel, but {path} is not ({error}). Export it again."
        ) from error


def _assets_of_old(meta_graph: Any) -> Iterator[Any]:
    """Yields the assets that an export by TensorFlow 1 keeps in a collection instead."""
    from tensorflow.core.protobuf import meta_graph_pb2

    for packed in meta_graph.collection_def["saved_model_assets"].any_list.value:
        asset = meta_graph_pb2.AssetFileDef()
        if packed.Unpack(asset):
            yield asset


def _findings(graph: _Graph) -> Iterator[Finding]:
    for body, nodes in graph.bodies.items():
        for node in nodes:
            reason = _reason(graph, body, node)
            if reason:
                where = f"node {node.name} of {MAIN}" if body == MAIN else f"node {node.name} of function {body}"
                yield Finding(node.op, where, reason)
    for asset in graph.assets:
        path = PurePosixPath(asset.filename)
        if path.is_absolute() or ".." in path.parts:
            yield Finding(asset.filename, "the list of assets", "lies outside the model's folder")


def _reason(graph: _Graph, body: str, node: Any) -> str:
    """Says why a node is refused, or "" when it may stay."""
    if node.op in ALLOWED or node.op in graph.functions:
        return ""
    if node.op in SAVER_ONLY:
        is_saver = node.name in graph.saver_nodes if body == MAIN else body in graph.saver_functions
        return "" if is_saver else "reads or writes files outside the model's own saving and loading"
    if node.op in ASSET_ONLY:
        is_asset = _comes_from_asset(graph, body, node.input[1], frozenset())
        return "" if is_asset else "reads a file that is not one of the model's own assets"
    for pattern, reason in REFUSED:
        if re.fullmatch(pattern, node.op):
            return reason
    if not _is_known(node.op):
        return "is a custom op that TensorFlow does not have"
    return "is not in the allow-list (serving/allowed_ops.py)"


def _is_known(op: str) -> bool:
    from tensorflow.python.framework import op_def_registry

    return op_def_registry.get(op) is not None


def _comes_from_asset(graph: _Graph, body: str, tensor: str, seen: frozenset[str]) -> bool:
    """Follows a file name to where it enters the graph; only an asset of the SavedModel will do."""
    if body == MAIN:
        return _is_asset(graph, tensor)
    arguments = [argument.name for argument in graph.functions[body].signature.input_arg]
    name = _node_name(tensor)
    if name not in arguments or body in seen:
        return False
    place = arguments.index(name)
    sources = [
        _comes_from_asset(graph, caller, node.input[place], seen | {body})
        for caller, node in _callers(graph, body)
        if place < len(node.input)
    ]
    bound = _bound_to_asset(graph, body, place - len(arguments))
    return all(sources) and bound is not False and bool(sources or bound)


def _is_asset(graph: _Graph, tensor: str) -> bool:
    """Says whether a main graph's tensor is the path of an asset, directly or through the variable an export makes."""
    name = _node_name(tensor)
    assets = {_node_name(asset.tensor_info.name) for asset in graph.assets}
    node = graph.main.get(name)
    if node is None or node.op != "ReadVariableOp":
        return name in assets
    handle = graph.main.get(_node_name(node.input[0]))
    if handle is None or handle.op != "VarHandleOp" or handle.attr["shared_name"].s in _other_variables(graph, handle):
        return False
    users = [user for user in graph.main.values() if handle.name in map(_node_name, user.input)]
    stored = [_node_name(user.input[1]) for user in users if user.op == "AssignVariableOp"]
    harmless = {"AssignVariableOp", "ReadVariableOp", "VarIsInitializedOp"}
    return bool(stored) and set(stored) <= assets and {user.op for user in users} <= harmless


def _other_variables(graph: _Graph, handle: Any) -> set[bytes]:
    """Names the variables of all handles but one: two handles of one name are one variable."""
    handles = [node for nodes in graph.bodies.values() for node in nodes if node.op == "VarHandleOp"]
    return {node.attr["shared_name"].s for node in handles if node is not handle}


def _callers(graph: _Graph, function: str) -> Iterator[tuple[str, Any]]:
    for body, nodes in graph.bodies.items():
        yield from ((body, node) for node in nodes if function in graph.called(node))


def _bound_to_asset(graph: _Graph, function: str, place: int) -> bool | None:
    """Says whether an argument, counted from the end, is bound to an asset; None if the function is not exported."""
    concrete = graph.meta.object_graph_def.concrete_functions
    if function not in concrete:
        return None
    bound = concrete[function].bound_inputs
    if -place > len(bound):
        return False
    return bool(graph.meta.object_graph_def.nodes[bound[place]].WhichOneof("kind") == "asset")


def _node_name(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]

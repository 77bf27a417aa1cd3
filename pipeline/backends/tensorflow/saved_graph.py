"""What a SavedModel could do to files, found before TensorFlow loads it.

A graph may read and write any file by its operations. Those that count are the ones that run: what
the served signature reaches, and what runs while the model is loaded (initialisers of tables, what
restores variables, and every function under a name that Python may call by itself). Other
functions, such as those that save a checkpoint, may do what they like: nobody calls them here.

Files of the model itself are read: variables, and assets such as vocabularies. So an asset must lie
in the folder of assets, and the table that reads it must take its name from it.

Format: https://www.tensorflow.org/guide/saved_model (objects, functions), and for the older one,
which is a graph without objects, tensorflow/python/saved_model/load_v1_in_v2.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.backends.onnx.companions import leads_out
from pipeline.backends.tensorflow.operations import RESTORES, TEXT_TABLES, wrong_with
from pipeline.errors import UntrustedArtifactError
from pipeline.spec.plain_data import shown

_CALL, _SIGNATURES, _DEFAULT = "__call__", "signatures", "default"
_INITIALIZERS = ("saved_model_main_op", "legacy_init_op", "table_initializer")
_INIT_SIGNATURE = "__saved_model_init_op"
_SAME = ("Identity", "StopGradient")


def check_graph(path: Path, signature: str) -> None:
    """Makes sure that loading and serving a model touches no files but its own.

    Args:
      path: the folder of a SavedModel.
      signature: the one that serves, or ``__call__``.

    Raises:
      UntrustedArtifactError: it might; says by which operation, and where.
      google.protobuf.message.DecodeError: it is damaged.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    model.ParseFromString((path / "saved_model.pb").read_bytes())
    for graph in model.meta_graphs:
        for problem in _problems(graph, signature):
            raise UntrustedArtifactError(
                f"{path} {problem}; export the model again without that, or set `trusted: true` on "
                "the model if it is your own"
            )


def _problems(graph: Any, signature: str) -> Iterator[str]:
    assets = _assets(graph)
    for asset in assets:
        if leads_out(asset.filename):
            yield f"has an asset {shown(asset.filename)}, which lies outside its folder of assets"
    functions = _Functions(graph.graph_def.library)
    found = (
        _run_by_objects(graph.object_graph_def, functions, signature)
        if graph.HasField("object_graph_def")
        else _run_by_graph(graph, functions, signature, [one.tensor_info.name for one in assets])
    )
    for node, where in found:
        if problem := wrong_with(node):
            yield f"has the operation {node.op} ({shown(node.name)} in {where}), which {problem}"


def _assets(graph: Any) -> list[Any]:
    """The assets (AssetFileDef), from where TensorFlow takes them."""
    from tensorflow.core.protobuf import meta_graph_pb2

    if graph.asset_file_def:
        return list(graph.asset_file_def)
    assets = []
    for packed in graph.collection_def["saved_model_assets"].any_list.value:
        assets.append(meta_graph_pb2.AssetFileDef())
        packed.Unpack(assets[-1])
    return assets


class _Functions:
    """The functions of a graph, and which call which.

    Args:
      library: a FunctionDefLibrary.
    """

    def __init__(self, library: Any) -> None:
        self._by_name = {each.signature.name: each for each in library.function}
        self._also: dict[str, list[str]] = {}
        for gradient in library.gradient:
            self._also.setdefault(gradient.function_name, []).append(gradient.gradient_func)
        # TensorFlow may replace a function by another one that says it implements the same.
        alike: dict[bytes, list[str]] = {}
        for name, each in self._by_name.items():
            if interface := each.attr["api_implements"].s:
                alike.setdefault(interface, []).append(name)
                self._also.setdefault(name, []).extend(alike[interface])
                for other in alike[interface]:
                    self._also[other].append(name)

    def __getitem__(self, name: str) -> Any:
        return self._by_name[name]

    def called(self, nodes: Iterable[Any]) -> list[str]:
        """Names of all functions that some nodes call, directly or not."""
        todo, seen = self._named(nodes), set()
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += self._named(self._by_name[name].node_def)
                todo += [other for other in self._also.get(name, ()) if other in self._by_name]
        return sorted(seen)

    def _named(self, nodes: Iterable[Any]) -> list[str]:
        names: list[str] = []
        for node in nodes:
            names.append(node.op)
            for value in node.attr.values():
                names += [value.func.name, *(each.name for each in value.list.func)]
        return [name for name in names if name in self._by_name]


def _run_by_objects(
    objects: Any, functions: _Functions, signature: str
) -> Iterator[tuple[Any, str]]:
    """The nodes that run, each with the function it is in; without those that read assets."""
    roots = _roots(objects, signature)
    called = set(functions.called(node for name in roots for node in functions[name].node_def))
    for name in sorted({*roots, *called}):
        # Who calls a function decides what its arguments are.
        assets = _arguments_of_assets(objects, functions, name) if name not in called else set()
        nodes = {node.name: node for node in functions[name].node_def}
        for node in nodes.values():
            if node.op not in TEXT_TABLES or _followed(node.input[1], nodes) not in assets:
                yield node, name


def _roots(objects: Any, signature: str) -> list[str]:
    """The functions that loading runs, and those that serve."""
    names: list[str] = []
    for each in objects.nodes:
        for child in each.children:
            # Python calls such methods of an object by itself, while it restores a checkpoint.
            if child.local_name.startswith("_") and child.local_name != _CALL:
                names += _concrete(objects.nodes[child.node_id])
        for saveable in each.saveable_objects.values():
            for node_id in (saveable.save_function, saveable.restore_function):
                names += _concrete(objects.nodes[node_id])
    offered: dict[str, list[str]] = {}
    for name, node_id in _children(objects, 0):
        if name == _CALL:
            offered.setdefault(_CALL, []).extend(_concrete(objects.nodes[node_id]))
        if name == _SIGNATURES:
            for inner, inner_id in _children(objects, node_id):
                offered.setdefault(inner, []).extend(_concrete(objects.nodes[inner_id]))
    served = (signature,) if signature in offered else (_CALL, _DEFAULT)
    return [*names, *(name for each in served for name in offered.get(each, ()))]


def _children(objects: Any, number: int) -> list[tuple[str, int]]:
    return [(child.local_name, child.node_id) for child in objects.nodes[number].children]


def _concrete(each: Any) -> list[str]:
    """The names of functions that an object stands for."""
    names = [*each.function.concrete_functions, each.bare_concrete_function.concrete_function_name]
    return [name for name in names if name]


def _arguments_of_assets(objects: Any, functions: _Functions, name: str) -> set[str]:
    """The arguments of a function that are bound to assets. Bound ones are the last."""
    bound = objects.concrete_functions[name].bound_inputs
    arguments = [argument.name for argument in functions[name].signature.input_arg]
    return {
        argument
        for argument, number in zip(arguments[len(arguments) - len(bound) :], bound, strict=True)
        if objects.nodes[number].WhichOneof("kind") == "asset"
    }


def _followed(tensor: str, nodes: Mapping[str, Any]) -> str:
    """The tensor that another one is a copy of; an argument, or an output of a node."""
    for _ in nodes:
        node = nodes.get(tensor.partition(":")[0])
        if node is None or node.op not in _SAME:
            break
        tensor = node.input[0]
    return _first(tensor)


def _first(tensor: str) -> str:
    """A graph names the first output of a node with ``:0`` or without it."""
    return tensor.removesuffix(":0")


def _run_by_graph(
    graph: Any, functions: _Functions, signature: str, assets: Collection[str]
) -> Iterator[tuple[Any, str]]:
    """The same for a graph without objects, of TensorFlow 1.

    Paths of assets are given to what initialises tables only, that of variables to what restores
    them; the rest of the graph sees what the file says.
    """
    nodes = {node.name: node for node in graph.graph_def.node}
    variables = _first(graph.saver_def.filename_tensor_name)
    paths = {_first(tensor) for tensor in assets}
    restored = _upstream([graph.saver_def.restore_op_name], nodes)
    initialized = _upstream(_initializers(graph), nodes)
    served = _upstream(_outputs(graph, (signature, _DEFAULT)), nodes)
    for node in restored:
        if node.op not in RESTORES or _followed(node.input[0], nodes) != variables:
            yield node, "the graph"
    for node in initialized:
        if node.op not in TEXT_TABLES or _followed(node.input[1], nodes) not in paths:
            yield node, "the graph"
    yield from ((node, "the graph") for node in served)
    for name in functions.called([*served, *restored, *initialized]):
        yield from ((node, name) for node in functions[name].node_def)


def _initializers(graph: Any) -> Iterator[str]:
    for key in _INITIALIZERS:
        yield from graph.collection_def[key].node_list.value
    yield from _initial_values(graph)
    yield from _outputs(graph, (_INIT_SIGNATURE,))


def _outputs(graph: Any, signatures: Collection[str]) -> Iterator[str]:
    for name in signatures:
        if name in graph.signature_def:
            for tensor in graph.signature_def[name].outputs.values():
                yield tensor.name
                yield from _parts(tensor)


def _initial_values(graph: Any) -> Iterator[str]:
    from tensorflow.core.framework import variable_pb2

    for serialized in graph.collection_def["local_variables"].bytes_list.value:
        variable = variable_pb2.VariableDef()
        variable.ParseFromString(serialized)
        yield variable.initializer_name


def _parts(tensor: Any) -> Iterator[str]:
    """The tensors that a tensor in parts consists of."""
    sparse = tensor.coo_sparse
    yield from (
        sparse.values_tensor_name,
        sparse.indices_tensor_name,
        sparse.dense_shape_tensor_name,
    )
    yield from (component.name for component in tensor.composite_tensor.components)


def _upstream(names: Iterable[str], nodes: Mapping[str, Any]) -> list[Any]:
    """The nodes that some tensors or operations need, themselves included."""
    todo, seen = list(names), set()
    while todo:
        name = todo.pop().removeprefix("^").partition(":")[0]
        if name in nodes and name not in seen:
            seen.add(name)
            todo += nodes[name].input
    return [nodes[name] for name in sorted(seen)]

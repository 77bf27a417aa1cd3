"""The form in which every kind of TensorFlow model is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from pipeline.batch.tensors import DTYPES, TensorSpec

_PARSERS = {
    *("ParseExample", "ParseExampleV2", "ParseSingleExample"),
    *("ParseSequenceExample", "ParseSequenceExampleV2", "ParseSingleSequenceExample"),
}


@dataclass(frozen=True)
class Program:
    """A model as a concrete function of named tensors, traced once for any number of rows.

    Attributes:
      call: tensors by input name -> tensors by output name.
      inputs: its inputs.
      outputs: its outputs that can be columns.
      dtypes: TensorFlow's own dtypes of the inputs.
      size_bytes: bytes of its variables.
      owner: the loaded object, which signatures refer to only weakly.
      compiled: XLA compiles it at the first call of each shape, for tenths of seconds or more.
      no_columns: its other outputs -> what they are.
      takes_examples: whether it parses serialized tf.Example messages.
    """

    call: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    dtypes: Mapping[str, Any]
    size_bytes: int
    owner: Any
    compiled: bool
    no_columns: Mapping[str, str] = field(default_factory=dict)
    takes_examples: bool = False


def sort_outputs(described: Mapping[str, Any]) -> tuple[tuple[TensorSpec, ...], dict[str, str]]:
    """The outputs that can be columns, and what the others are.

    A ragged tensor is a column if only its rows differ in length, not what is inside of them.

    Args:
      described: name -> TensorFlow's spec, or a symbolic tensor.
    """
    import tensorflow as tf

    columns, others = [], {}
    for name, spec in described.items():
        if isinstance(spec, tf.TensorSpec | tf.Tensor) or getattr(spec, "ragged_rank", 0) == 1:
            columns.append(tensor_spec(name, spec))
        elif isinstance(spec, tf.RaggedTensorSpec | tf.RaggedTensor):
            others[name] = f"a ragged tensor of rank {spec.ragged_rank}, lists of lists"
        else:
            others[name] = f"a {type(spec).__name__.removesuffix('Spec')}"
    return tuple(columns), others


def tensor_spec(name: str, spec: Any) -> TensorSpec:
    """The spec of a tensor.

    bfloat16, which NumPy does not support, is handed over and back as float32.
    """
    dtype = "float32" if spec.dtype.name == "bfloat16" else spec.dtype.name
    return TensorSpec(
        name,
        dtype if dtype in DTYPES else None,
        None if spec.shape.rank is None else tuple(spec.shape.as_list()),
    )


def is_compiled(function: Any) -> bool:
    """Whether a concrete function, or one that it calls, was saved with ``jit_compile=True``."""
    called = function.graph.as_graph_def().library.function
    return any("_XlaMustCompile" in one.attr and one.attr["_XlaMustCompile"].b for one in called)


def takes_examples(function: Any) -> bool:
    """Whether a concrete function, or one that it calls, parses tf.Example messages.

    A signature of TensorFlow 1 may keep the parser of others, which nothing that it takes leads to.
    """
    taken = function.structured_input_signature[1].values()
    if not any(spec.dtype.name == "string" for spec in taken):
        return False
    graph = function.graph.as_graph_def()
    nodes = chain(graph.node, *(called.node_def for called in graph.library.function))
    return any(node.op in _PARSERS for node in nodes)


def variable_bytes(variables: Iterable[Any]) -> int:
    """Memory that variables hold."""
    return sum(v.dtype.size * (v.shape.num_elements() or 0) for v in variables)

"""What every way to store a TensorFlow model is opened as."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.core.tensors import DTYPES, TensorSpec


@dataclass(frozen=True)
class Program:
    """A model as a concrete function of named tensors: no number of rows makes it trace again.

    Attributes:
      call: tensors by input name -> tensors by output name.
      inputs: its inputs.
      outputs: its outputs.
      dtypes: TensorFlow's own dtypes of the inputs.
      size_bytes: bytes of its variables.
      owner: the loaded object, which signatures refer to only weakly.
      compiled: XLA compiles it at the first call of each shape, for tenths of seconds or more.
    """

    call: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    dtypes: Mapping[str, Any]
    size_bytes: int
    owner: Any
    compiled: bool


def tensor_spec(name: str, spec: Any) -> TensorSpec:
    """A tensor as this project describes it.

    bfloat16, which numpy has not, is handed over and back as float32.
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


def variable_bytes(variables: Iterable[Any]) -> int:
    """Memory that variables hold."""
    return sum(v.dtype.size * (v.shape.num_elements() or 0) for v in variables)

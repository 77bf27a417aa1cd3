"""Whether what a model declares of its inputs is what the graph feeds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.backends.base import Servable
from pipeline.batch import casts
from pipeline.batch.columns import Array
from pipeline.batch.tensors import FLOATS, INTEGERS, column_fits, describe, dtype_fits, shape_fits
from pipeline.serving.rehearsal.feature_order import FeatureOrder
from pipeline.spec.column_types import Type
from pipeline.spec.graph import Graph
from pipeline.spec.model import ColumnInput, ConstantInput, ModelSpec

_WITH_MISSING = (None, *FLOATS, "string", "bytes")
"""Dtypes of inputs, as a model declares them, that missing values can be handed over in."""


def misfits(
    model: ModelSpec, servable: Servable, graph: Graph, types: Mapping[str, Type]
) -> tuple[list[str], list[str]]:
    """Where what the model declares of its inputs is not what the graph feeds them.

    Args:
      model: its entry.
      servable: the model, loaded.
      graph: the ensemble.
      types: column -> dtype and row shape, of all columns that are known.

    Returns:
      the misfits, and what cannot be told.
    """
    problems: list[str] = []
    unknown: list[str] = []
    for tensor in servable.signature.inputs or ():
        binding = model.inputs.get(tensor.name)
        where = f"model '{model.name}' input '{tensor.name}'"
        if isinstance(binding, ConstantInput):
            value = binding.array()
            if not (
                dtype_fits(binding.dtype, tensor.dtype) and shape_fits(value.shape, tensor.dims)
            ):
                problems.append(
                    f"{where} takes {describe(tensor.dtype, tensor.dims)} (no batch axis), "
                    f"but the constant is {describe(binding.dtype, value.shape)}"
                )
            elif lost := _lost_constants(value, tensor.dtype):
                problems.append(f"{where}: the constant holds {lost}, not what {tensor.dtype} can")
        elif isinstance(binding, ColumnInput) and binding.column in types:
            dtype, shape = types[binding.column]
            order = FeatureOrder(tensor.features or (), binding.column, graph, types)
            if not (dtype_fits(dtype, tensor.dtype) and column_fits(shape, tensor.row_shape)):
                problems.append(
                    f"{where} takes {describe(tensor.dtype, tensor.row_shape)}, but column "
                    f"'{binding.column}' of {graph.producers[binding.column]} is "
                    f"{describe(dtype, shape)}{order.advice or _advice(dtype, tensor.dtype)}"
                )
            elif tensor.taken is not None and dtype not in tensor.taken.dtypes:
                problems.append(
                    f"{where} takes {tensor.taken.what}, but column '{binding.column}' of "
                    f"{graph.producers[binding.column]} is {describe(dtype, shape)}"
                )
            elif graph.gaps[binding.column] and tensor.dtype not in _WITH_MISSING:
                problems.append(
                    f"{where} takes {tensor.dtype}, which has nothing that means missing, but "
                    f"column '{binding.column}' of {graph.producers[binding.column]} may lack "
                    "values; a prepare step `op: fill` puts a value there"
                )
            elif order.clash:
                problems.append(f"{where} takes {order.clash}{order.advice}")
            elif order.unknown:
                unknown.append(f"{where}: {order.unknown}")
    return problems, unknown


def _advice(dtype: str, wanted: str | None) -> str:
    """What to write where text meets numbers."""
    if dtype != "string" or wanted not in (*FLOATS, *INTEGERS):
        return ""
    return "; `op: ordinal` or `op: one_hot` makes numbers of categories, `op: cast` of digits"


def _lost_constants(value: Array, dtype: str | None) -> list[Any]:
    """The numbers of a constant that a tensor cannot hold."""
    if dtype is None or value.dtype.kind == "O":
        return []
    lost = casts.lost(value, dtype)
    return [] if lost is None else value[lost].tolist()

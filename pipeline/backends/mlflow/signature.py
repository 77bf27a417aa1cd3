"""What the signature of an MLflow model says of its inputs, beside what the model's file says.

MLflow writes the columns of the table, or the tensors, that a model was fitted on. It enforces
their types; here, numbers of any dtype stand for numbers, since a fitted model computes with their
values: a field may be float64 where a column happened to be integers at training. Text for a
number, a number for text, and all but booleans for booleans are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.backends.tables.names import Places, are_made_up
from pipeline.batch.names import some
from pipeline.batch.tensors import DTYPES, FLOATS, INTEGERS, Shape, Signature, Taken, TensorSpec
from pipeline.errors import LoadError
from pipeline.spec.model import ModelSpec

_NUMBERS, _TEXTS = (*INTEGERS, *FLOATS, "bool"), ("string", "bytes")
_DTYPES = {
    "boolean": "bool",
    "integer": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "binary": "bytes",
    "str": "string",
}
"""MLflow's types of columns, and NumPy's of tensors, that have another name here."""


@dataclass(frozen=True)
class Column:
    """A column or tensor of a signature.

    Attributes:
      name: empty where it has none.
      kind: its type as MLflow calls it: "long", "double", "string"..., of a tensor NumPy's name.
      dims: axis lengths of a tensor, the batch axis first; None for a column of a table.
    """

    name: str
    kind: str
    dims: Shape | None = None

    @property
    def dtype(self) -> str | None:
        """The dtype of its values; None where columns here have none like it (dates, arrays)."""
        dtype = _DTYPES.get(self.kind, self.kind)
        return dtype if dtype in DTYPES else None

    @property
    def taken(self) -> Taken | None:
        """The columns that may feed it."""
        dtype = self.dtype
        if dtype is None:
            return None
        kinds = (("text", _TEXTS), ("booleans", ("bool",)), ("numbers", _NUMBERS))
        what, dtypes = next((what, known) for what, known in kinds if dtype in known)
        return Taken(f"{what} ({self.kind} in the signature of its MLmodel)", dtypes)


def column_of(data: Mapping[str, Any]) -> Column:
    """A column or tensor as MLflow writes it, in JSON."""
    name = str(data.get("name") or "")
    tensor = data.get("tensor-spec")
    if not isinstance(tensor, dict):
        return Column(name, str(data.get("type")))
    shape = tensor.get("shape")
    lengths = [n if isinstance(n, int) and n >= 0 else None for n in shape or ()]
    # The first axis is the row, even where MLflow saw a fixed number of them.
    dims = (None, *lengths[1:]) if isinstance(shape, list) and lengths else None
    return Column(name, str(tensor.get("dtype")), dims)


def table_names(columns: Sequence[Column]) -> tuple[str, ...]:
    """The names of the columns of a table; none where it has no names, or these are tensors."""
    names = tuple(column.name for column in columns if column.name and column.dims is None)
    return names if len(names) == len(columns) else ()


def bound_in_order(path: Path, spec: ModelSpec, columns: Sequence[Column]) -> ModelSpec:
    """The entry with a position for each column that is called like one of the signature.

    A model without names of its own then gets them in the signature's order; one with names is
    not asked.

    Raises:
      LoadError: some are called so and others are not, or two are the same.
    """
    names, inputs = table_names(columns), spec.column_inputs
    listed = len(inputs) > 1 or any(bound.position is not None for bound in inputs.values())
    if not (spec.takes_columns and names and listed):
        return spec
    places = Places(names)
    found = {tensor: places.called(tensor) for tensor in inputs}
    if not any(found.values()):
        return spec
    told = f"its columns are {some(names)}"
    for tensor, there in found.items():
        if len(there) != 1:
            which = "several columns" if there else "no column"
            raise LoadError(
                f"{path}: the signature in its MLmodel has {which} called '{tensor}'; {told}"
            )
    ordered = {
        tensor: bound.model_copy(update={"position": found[tensor][0]})
        for tensor, bound in inputs.items()
    }
    if len({bound.position for bound in ordered.values()}) < len(ordered):
        raise LoadError(f"{path}: `inputs` binds a column of its signature twice; {told}")
    return spec.model_copy(update={"inputs": {**spec.inputs, **ordered}})


def completed(
    signature: Signature, columns: Sequence[Column], spec: ModelSpec, *, dtypes: bool
) -> Signature:
    """A model's own signature with what MLflow's says besides.

    Args:
      signature: of the loaded model.
      columns: of MLflow's signature.
      spec: the model's entry.
      dtypes: whether dtype and shape of a tensor are taken over where the model's file has none.
    """
    if signature.inputs is None or not columns:
        return signature
    inputs = signature.inputs
    names = table_names(columns)
    if names and len(inputs) == 1 and len(names) > 1:
        return replace(signature, inputs=(_matrix(inputs[0], names),))
    places = Places([column.name for column in columns])
    found = []
    for tensor in inputs:
        there = places.called(tensor.name)
        if len(there) != 1 and len(inputs) == len(columns) == 1:
            there = [0]
        if len(there) == 1:
            column = columns[there[0]]
            tensor = replace(tensor, taken=tensor.taken or column.taken)
            if spec.is_unbound or dtypes:
                tensor = replace(tensor, dtype=tensor.dtype or column.dtype)
            if dtypes and tensor.dims is None:
                tensor = replace(tensor, dims=column.dims)
        found.append(tensor)
    return replace(signature, inputs=tuple(found))


def _matrix(tensor: TensorSpec, names: tuple[str, ...]) -> TensorSpec:
    """A matrix of the table's columns, with their names where its file has none."""
    nameless = tensor.features is None or are_made_up(tensor.features)
    fits = tensor.dims is not None and tensor.dims[1:] in ((len(names),), (None,))
    return replace(tensor, features=names) if nameless and fits else tensor

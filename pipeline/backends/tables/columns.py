"""Models of tables that get a column for each feature, in place of one matrix.

The ensemble file binds each feature by its name in the model's file (``inputs: {age: age, "sepal
length (cm)": sepal_length}``), or lists columns (``inputs: {X: [age, fare]}``), which are found by
name, and by position where the file has no names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from pipeline.backends.tables.categories import CategoryCodes
from pipeline.backends.tables.matrix import only_input
from pipeline.backends.tables.names import Places, are_made_up
from pipeline.batch import casts
from pipeline.batch.columns import Array
from pipeline.batch.names import some
from pipeline.batch.tensors import Shape, TensorSpec
from pipeline.errors import LoadError
from pipeline.spec.model import ColumnInput, ModelSpec


def feature_columns(
    path: Path, spec: ModelSpec, names: Sequence[str] | None, count: int | None
) -> tuple[str, ...] | None:
    """The input of each feature, in the model's order; None where one input is the whole matrix.

    Args:
      path: the model's file, for messages.
      spec: its entry.
      names: of its features, if its file has names.
      count: how many features it has, if that is known.

    Raises:
      LoadError: a feature has no input or two, or an input is no feature.
    """
    positions = {
        tensor: bound.position
        for tensor, bound in spec.inputs.items()
        if isinstance(bound, ColumnInput) and bound.position is not None
    }
    if len(spec.inputs) < 2 and not positions and (names is None or len(names) > 1):
        return None
    # Names that only number the features say nothing of columns that are called otherwise.
    nameless = names is not None and are_made_up(names) and not set(positions) & set(names)
    if names is None or (positions and nameless):
        return _by_position(path, spec, positions, count)
    places = Places(names)
    found = {tensor: places.called(tensor) for tensor in spec.inputs}
    if len(found) == 1 and not positions and not any(found.values()):
        return None
    at: dict[int, str] = {}
    for tensor, there in found.items():
        if len(there) != 1:
            which = "several features" if there else "no feature"
            raise LoadError(f"{path} has {which} called '{tensor}'; {_told(names)}")
        if there[0] in at:
            raise LoadError(
                f"{path}: inputs '{at[there[0]]}' and '{tensor}' are both its feature "
                f"'{names[there[0]]}'; {_told(names)}"
            )
        at[there[0]] = tensor
    lacking = [name for place, name in enumerate(names) if place not in at]
    if lacking:
        raise LoadError(
            f"{path} needs its features {some(lacking)}, which `inputs` does not bind; "
            f"{_told(names)}"
        )
    return tuple(at[place] for place in range(len(names)))


def rows_dims(columns: Sequence[str]) -> Shape:
    """The axes of the input of each feature: one alone may be a matrix with one column, too."""
    return (None,) if len(columns) > 1 else (None, 1)


class FeatureInputs:
    """The inputs of a booster: one matrix, or a column for each feature.

    Args:
      path: the model's file, for messages.
      spec: its entry.
      kind: what it is, such as "an XGBoost model".
      names: of its features, if its file has names.
      count: how many features it has.
      dtype: of its numbers.
      codes: place of a feature -> its categories, where it has some.

    Attributes:
      specs: of its inputs.

    Raises:
      LoadError: see `feature_columns`, and `only_input`.
    """

    def __init__(
        self,
        path: Path,
        spec: ModelSpec,
        kind: str,
        *,
        names: tuple[str, ...] | None,
        count: int,
        dtype: str,
        codes: Mapping[int, CategoryCodes] = MappingProxyType({}),
    ) -> None:
        if spec.is_unbound:
            columns = names if codes else None
        else:
            columns = feature_columns(path, spec, names, count)
        if columns is None:
            self._tensors: tuple[str, ...] = (only_input(path, spec, kind),)
            self.specs = [TensorSpec(self._tensors[0], dtype, (None, count), names)]
        else:
            self._tensors = columns
            dims = rows_dims(columns)
            self.specs = [
                codes[place].spec(tensor, dims)
                if place in codes
                else TensorSpec(tensor, dtype, dims)
                for place, tensor in enumerate(columns)
            ]
        self._is_matrix = columns is None
        self._codes = {tensor: codes[i] for i, tensor in enumerate(columns or ()) if i in codes}

    def matrix(self, inputs: Mapping[str, Array]) -> Array:
        """[rows, features], of the dtype of the inputs; categories as their codes.

        Raises:
          RowsError: see `as_matrix`, and `CategoryCodes.codes`.
        """
        if self._is_matrix:
            return inputs[self._tensors[0]]
        coded = {t: of.codes(t, inputs[t].reshape(-1)) for t, of in self._codes.items()}
        return as_matrix({**inputs, **coded}, self._tensors)


def as_matrix(inputs: Mapping[str, Array], tensors: Sequence[str]) -> Array:
    """The columns side by side, [rows, features]: of their common dtype, objects if one is text.

    Raises:
      RowsError: rows with an integer that the common dtype, a float, cannot hold.
    """
    columns = {tensor: inputs[tensor].reshape(-1) for tensor in tensors}
    if any(column.dtype.kind == "O" for column in columns.values()):
        columns = {tensor: column.astype(object) for tensor, column in columns.items()}
    else:
        casts.check_join(columns)
    return np.stack(list(columns.values()), axis=1)


def _by_position(
    path: Path, spec: ModelSpec, positions: Mapping[str, int], count: int | None
) -> tuple[str, ...]:
    ordered = sorted(positions, key=lambda tensor: positions[tensor])
    if len(positions) < len(spec.inputs):
        raise LoadError(
            f"{path} has no names for its features, so they are bound in its order: "
            f"inputs: {{X: [{', '.join(spec.columns_read())}]}}, or one column with all of them"
        )
    wanted = list(range(count or len(ordered)))
    if [positions[tensor] for tensor in ordered] != wanted:
        found = ", ".join(f"{tensor} at {positions[tensor]}" for tensor in ordered)
        raise LoadError(
            f"{path} has {len(wanted)} features without names; `inputs` binds {len(ordered)} "
            f"columns by position: {found}"
        )
    return tuple(ordered)


def _told(names: Sequence[str]) -> str:
    return f"its features are {some(names)}"

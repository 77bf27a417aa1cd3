"""What an estimator is called with: one matrix, a DataFrame, or an array of columns side by side.

A DataFrame is made where the estimator was fitted on a table with names and the ensemble file binds
them: scikit-learn picks columns by name (`ColumnTransformer`) from nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.backends.failures import needs_package
from pipeline.backends.sklearn import features
from pipeline.backends.tables.columns import as_matrix, feature_columns
from pipeline.backends.tables.matrix import only_input
from pipeline.backends.text import as_str
from pipeline.batch.columns import Array, read_only
from pipeline.batch.tensors import TensorSpec
from pipeline.spec.model import ModelSpec

Rows = Callable[[Mapping[str, Array]], Any]


def rows_of(
    path: Path, spec: ModelSpec, estimator: Any, parts: Iterable[Any]
) -> tuple[list[TensorSpec], Rows]:
    """The inputs of an estimator, and what makes its rows of them.

    Args:
      path: its file, for messages.
      spec: its entry.
      estimator: fitted.
      parts: the estimator and everything that it is made of.
    """
    parts = list(parts)
    whole = features.input_spec("X", estimator)
    names = features.fitted_names(estimator)
    if spec.is_unbound and names is not None and features.picks_by_name(parts, names):
        tensors: tuple[str, ...] | None = names
    else:
        count = None if whole.dims is None else whole.dims[1]
        tensors = None if spec.is_unbound else feature_columns(path, spec, names, count)
    if tensors is None:
        tensor = only_input(path, spec, "a scikit-learn model")
        matrix = replace(whole, name=tensor)
        features.forget_names(parts)  # of XGBoost's, which keep them nowhere else
        return [matrix], partial(_matrix, tensor)
    if names is None:
        return [TensorSpec(tensor, dims=(None,)) for tensor in tensors], partial(_listed, tensors)
    with needs_package("pandas"):
        import pandas  # noqa: F401
    known = features.categories(estimator, parts, names)
    specs = []
    for tensor, name in zip(tensors, names, strict=True):
        dtype, values = known.get(name, (None, None))
        specs.append(TensorSpec(tensor, dtype, (None,), values=values))
    return specs, partial(_frame, tensors, names, features.takes_categories(estimator))


def _matrix(tensor: str, inputs: Mapping[str, Array]) -> Array:
    return read_only(inputs[tensor])  # with copy=False, transformers would write to it


def _listed(tensors: Sequence[str], inputs: Mapping[str, Array]) -> Array:
    return as_matrix({t: _text(inputs[t]) for t in tensors}, tensors)


def _frame(
    tensors: Sequence[str], names: Sequence[str], categories: bool, inputs: Mapping[str, Array]
) -> Any:
    import pandas

    columns = {name: _text(inputs[t]) for t, name in zip(tensors, names, strict=True)}
    frame = pandas.DataFrame(columns)
    texts = [name for name, column in columns.items() if column.dtype.kind == "O"]
    return frame.astype(dict.fromkeys(texts, "category")) if categories else frame


def _text(column: Array) -> Array:
    return as_str(column) if column.dtype.kind == "O" else column

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

import numpy as np

from pipeline.backends.failures import needs_package
from pipeline.backends.sklearn import features
from pipeline.backends.sklearn.features import Categories
from pipeline.backends.sklearn.sparse import from_column
from pipeline.backends.tables.categories import CategoryCodes
from pipeline.backends.tables.columns import FeatureInputs, as_matrix, feature_columns, rows_dims
from pipeline.backends.tables.matrix import only_input
from pipeline.backends.text import as_str
from pipeline.batch.columns import Array, read_only
from pipeline.batch.sparse import Sparse
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
    if codes := features.booster_codes(estimator):
        return _coded(path, spec, parts, names, codes)
    if spec.is_unbound and features.needs_table(estimator, parts, names):
        tensors: tuple[str, ...] | None = names
    else:
        count = None if whole.dims is None else whole.dims[1]
        tensors = None if spec.is_unbound else feature_columns(path, spec, names, count)
    if tensors is None:
        tensor = only_input(path, spec, "a scikit-learn model")
        matrix = replace(whole, name=tensor)
        if names is not None and features.picks_by_name(parts, names):
            _import_pandas()
            return [matrix], partial(_named_matrix, tensor, names)
        features.forget_names(parts)  # of XGBoost's, which keep them nowhere else
        return [matrix], partial(_matrix, tensor, features.takes_sparse(estimator, parts))
    if names is None and len(tensors) == 1 and whole.dims is None:  # texts, as they come
        return [TensorSpec(tensors[0])], partial(_matrix, tensors[0], False)
    known = features.categories(estimator, parts, names, len(tensors))
    columns = {tensor: known.get(place, Categories()) for place, tensor in enumerate(tensors)}
    dims = rows_dims(tensors)
    specs = [
        TensorSpec(tensor, "string" if of.texts else None, dims, values=of.texts)
        for tensor, of in columns.items()
    ]
    if names is None:
        return specs, partial(_listed, columns)
    _import_pandas()
    return specs, partial(_frame, columns, names, features.takes_categories(estimator))


def _coded(
    path: Path,
    spec: ModelSpec,
    parts: Iterable[Any],
    names: tuple[str, ...] | None,
    codes: Mapping[int, CategoryCodes],
) -> tuple[list[TensorSpec], Rows]:
    """Those of a booster that was fitted with categories, which gets their codes.

    Not a DataFrame with them: XGBoost takes a category that it does not know for another one
    (https://github.com/dmlc/xgboost/pull/12193), and reads names beyond ASCII by those beside them.
    """
    features.forget_names(parts)
    count = len(names or codes)
    inputs = FeatureInputs(
        path, spec, "a booster", names=names, count=count, dtype="float64", codes=codes
    )
    return inputs.specs, inputs.matrix


def made_up_row(inputs: Iterable[TensorSpec]) -> dict[str, Array]:
    """One row of zeros and of known texts; an estimator may refuse it.

    Args:
      inputs: as `rows_of` describes them.
    """
    row: dict[str, Array] = {}
    for tensor in inputs:
        if tensor.dtype == "string" or tensor.dims is None:
            row[tensor.name] = np.array([next(iter(tensor.values or ()), "")], dtype=object)
        else:
            row[tensor.name] = np.zeros([1, *(size or 1 for size in tensor.dims[1:])], np.float32)
    return row


def _import_pandas() -> None:
    with needs_package("pandas"):
        import pandas  # noqa: F401


def _named_matrix(tensor: str, names: Sequence[str], inputs: Mapping[str, Array]) -> Any:
    """A matrix, of one dtype, whose columns have the names that the estimator picks them by."""
    import pandas

    return pandas.DataFrame(read_only(np.asarray(inputs[tensor])), columns=list(names))


def _matrix(tensor: str, sparse: bool, inputs: Mapping[str, Array]) -> Any:
    if isinstance(inputs[tensor], Sparse):
        return from_column(inputs[tensor]) if sparse else np.asarray(inputs[tensor])
    return read_only(inputs[tensor])  # with copy=False, transformers would write to it


def _listed(columns: Mapping[str, Categories], inputs: Mapping[str, Array]) -> Array:
    return as_matrix(_read(columns, inputs), tuple(columns))


def _frame(
    columns: Mapping[str, Categories],
    names: Sequence[str],
    categories: bool,
    inputs: Mapping[str, Array],
) -> Any:
    import pandas

    read = _read(columns, inputs)
    if categories:
        series = [_for_booster(column) for column in read.values()]
        return pandas.DataFrame(dict(zip(names, series, strict=True)))
    return pandas.DataFrame(dict(zip(names, read.values(), strict=True)))


def _for_booster(column: Array) -> Any:
    """Text as pandas' type for categories; booleans as numbers, also where some are missing."""
    import pandas

    if column.dtype.kind != "O":
        return column
    texts = sorted({value for value in column if isinstance(value, str)})
    if texts:
        return pandas.Categorical(column, categories=texts)
    return column.astype(np.float64)


def _read(columns: Mapping[str, Categories], inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The columns as the estimator knows them: of one axis, text as str, exact numbers."""
    found = {}
    for tensor, categories in columns.items():
        column = np.asarray(inputs[tensor]).reshape(-1)
        if column.dtype.kind == "O":
            texts = as_str(column)
            texts[[text is None for text in texts]] = categories.missing
            found[tensor] = texts
        else:
            found[tensor] = categories.exact(column)
    return found

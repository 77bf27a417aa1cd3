"""The names of the features that a scikit-learn estimator was fitted on.

Where the ensemble file binds a column to each, an estimator gets a DataFrame. Where it binds one
matrix, the names are compared with the columns of the graph when a release is rehearsed, and a call
hands over an array, which has no names; most estimators accept it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.backends.tables.matrix import feature_names
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import ModelFaultError

_BY_NAME = "Specifying the columns using strings is only supported for"
_OF_COLUMNS = 3
"""Length of what a ColumnTransformer keeps of a transformer: name, transformer, columns."""


def input_spec(tensor: str, estimator: Any) -> TensorSpec:
    """What is certain about the rows that an estimator takes: how many features, and their names.

    Args:
      tensor: the name of its input.
      estimator: fitted; of a pipeline, the first step that computes counts.
    """
    first = _first(estimator)
    features = getattr(first, "n_features_in_", None)
    dims = None if features is None else (None, int(features))
    return TensorSpec(tensor, dims=dims, features=fitted_names(estimator))


def fitted_names(estimator: Any) -> tuple[str, ...] | None:
    """The names of the columns that an estimator was fitted on, None if these had none."""
    first = _first(estimator)
    names = getattr(first, "feature_names_in_", None)
    if names is None:  # files of LightGBM before 4.5 have these names only
        names = getattr(first, "feature_name_", None)
    return feature_names(names)


def picks_by_name(parts: Iterable[Any], names: Sequence[str]) -> bool:
    """Whether an estimator picks columns by name, which it can do from a DataFrame only."""
    return any(set(columns) <= set(names) for part in parts for _, columns in _picked(part))


def categories(
    estimator: Any, parts: Iterable[Any], names: Sequence[str]
) -> dict[str, tuple[str, tuple[str, ...] | None]]:
    """Column -> dtype and known texts, for the columns that an encoder of categories was fitted on.

    A number is float64: an encoder does not know the 0.1 of float32 as its 0.1.

    Args:
      estimator: fitted on a table.
      parts: the estimator and everything that it is made of.
      names: of its columns.
    """
    encoders = [(_first(estimator), list(names))]
    encoders += [(_first(encoder), columns) for part in parts for encoder, columns in _picked(part)]
    found = _of_xgboost(_first(estimator))
    for encoder, columns in encoders:
        known = getattr(encoder, "categories_", None)
        if not isinstance(known, list) or len(known) != len(columns):
            continue
        for column, of_column in zip(columns, known, strict=True):
            texts = tuple(str(value) for value in of_column if isinstance(value, str))
            if texts:
                found.setdefault(column, ("string", texts))
            elif np.asarray(of_column).dtype.kind in "iuf":
                found.setdefault(column, ("float64", None))
    return found


def _of_xgboost(estimator: Any) -> dict[str, tuple[str, tuple[str, ...] | None]]:
    """Those of a classifier or regressor of XGBoost, which fails on others."""
    if not hasattr(estimator, "get_booster"):
        return {}
    try:
        known = estimator.get_booster().get_categories(export_to_arrow=True)
    except ValueError:  # of linear boosters, which have none
        return {}
    return {
        column: ("string", tuple(map(str, texts.to_pylist())))
        for column, texts in known.to_arrow()
        if texts is not None and pa.types.is_string(texts.type)
    }


def takes_categories(estimator: Any) -> bool:
    """Whether its texts have to be of pandas' type for categories: boosters refuse all others.

    They know the categories that they were trained with, whatever those of a frame are.
    """
    first = _first(estimator)
    return hasattr(first, "get_booster") or hasattr(first, "booster_")


def _first(estimator: Any) -> Any:
    """What sees the rows first: of a pipeline, the first step that computes."""
    for _, step in getattr(estimator, "steps", ()):
        if not isinstance(step, str):  # "passthrough"
            return _first(step)
    return estimator


def _picked(part: Any) -> Iterator[tuple[Any, list[str]]]:
    """The transformers of a ColumnTransformer that get columns by name, with these names."""
    for transformer in getattr(part, "transformers_", ()):
        if isinstance(transformer, tuple) and len(transformer) == _OF_COLUMNS:
            _, encoder, columns = transformer
            listed = [columns] if isinstance(columns, str) else list(_iterable(columns))
            if listed and all(isinstance(column, str) for column in listed):
                yield encoder, listed


def _iterable(columns: Any) -> Iterable[Any]:
    return columns if isinstance(columns, Iterable) else ()  # a slice, or a function


def ignore_missing_names() -> None:
    """Switches off the warning of every call that an array has no names."""
    warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)


def forget_names(parts: Iterable[Any]) -> None:
    """Lets linear models of XGBoost accept arrays, which they refuse if they know feature names.

    Args:
      parts: of an estimator, which are changed.
    """
    for part in parts:
        if hasattr(part, "get_booster") and hasattr(part, "feature_names_in_"):
            part.get_booster().feature_names = None


@contextmanager
def selecting() -> Iterator[None]:
    """Wraps a call of an estimator.

    Raises:
      ModelFaultError: the estimator picks columns of a DataFrame by their names.
    """
    try:
        yield
    except ValueError as error:
        if _BY_NAME not in str(error):
            raise
        raise ModelFaultError(
            "it picks the columns of a DataFrame by name, and gets an array: bind a column to each "
            "of its features, `inputs: {X: [age, sex]}` or `inputs: {age: age, sex: sex}`"
        ) from error

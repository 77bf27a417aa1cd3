"""The names of the features that a scikit-learn estimator was fitted on.

They are compared with the columns of the graph when a release is rehearsed. A call then hands over
an array, which has no names; most estimators accept it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.backends.feature_matrix import feature_names
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import ModelFaultError

_BY_NAME = "Specifying the columns using strings is only supported for"


def input_spec(tensor: str, estimator: Any) -> TensorSpec:
    """What is certain about the rows that an estimator takes: how many features, and their names.

    Args:
      tensor: the name of its input.
      estimator: fitted; of a pipeline, the first step that computes counts.
    """
    for _, step in getattr(estimator, "steps", ()):
        if not isinstance(step, str):  # "passthrough"
            return input_spec(tensor, step)
    features = getattr(estimator, "n_features_in_", None)
    dims = None if features is None else (None, int(features))
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:  # files of LightGBM before 4.5 have these names only
        names = getattr(estimator, "feature_name_", None)
    return TensorSpec(tensor, dims=dims, features=feature_names(names))


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
            "it picks the columns of a DataFrame by name, and gets an array: where all columns are "
            "numbers, pick them by position (`ColumnTransformer([(..., [0, 1])])`, fitted on "
            "`frame.to_numpy()`); else convert it to ONNX (skl2onnx), which has an input for each "
            "column, or call it in a class of your own (`framework: python`)"
        ) from error

"""What an estimator gives: the results of its methods, as columns.

An output is called by its method. A classifier of several targets has a list of probabilities, one
array for each: ``predict_proba.0``, ``predict_proba.1``... in the order of the targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from pipeline.backends.sklearn.features import width_made
from pipeline.backends.sklearn.sparse import to_column
from pipeline.backends.text import decoded
from pipeline.batch.columns import Array
from pipeline.batch.tensors import TensorSpec, dtype_name
from pipeline.errors import ModelFaultError

METHODS = ("predict", "predict_proba", "decision_function", "transform", "score_samples")

_CHAIN = "ClassifierChain"
"""The estimator of several targets whose probabilities are one array."""


def output_specs(estimator: Any, parts: Iterable[Any]) -> list[TensorSpec]:
    """The outputs of an estimator.

    Args:
      estimator: fitted.
      parts: the estimator and everything that it is made of.
    """
    one_array = any(type(part).__name__ == _CHAIN for part in parts)
    return [
        spec
        for method in METHODS
        if hasattr(estimator, method)
        for spec in _specs(estimator, method, one_array)
    ]


def method_of(output: str) -> str:
    """The method whose result, or a part of it, an output is."""
    return output.partition(".")[0]


def column(output: str, result: Any) -> Array:
    """An output, of what its method returned.

    Raises:
      ModelFaultError: that is a list where one array is expected, or the other way round.
    """
    method, _, place = output.partition(".")
    if isinstance(result, list) != bool(place):
        found = f"a list of {len(result)} arrays" if isinstance(result, list) else "one array"
        raise ModelFaultError(f"{method} returns {found}, which cannot be the column '{output}'")
    if place:
        result = result[int(place)]
    # Copied: a transformer may return its input, or an array that it keeps for the next call.
    return to_column(result) if hasattr(result, "tocsr") else decoded(np.array(result))


def _specs(estimator: Any, method: str, one_array: bool) -> Iterator[TensorSpec]:
    """What is certain about a method's result: the dtype of labels, one score for each class.

    `predict` has no certain shape: with several labels or targets it has a second axis.
    """
    classes = getattr(estimator, "classes_", None)
    if method == "predict_proba" and isinstance(classes, list) and not one_array:
        for place, of_target in enumerate(classes):
            yield TensorSpec(f"{method}.{place}", dims=(None, len(of_target)))
    elif method == "transform":
        yield TensorSpec(method, dims=width_made(estimator))
    elif not isinstance(classes, np.ndarray) or classes.ndim != 1:
        yield TensorSpec(method)
    elif method == "predict":
        yield TensorSpec(method, dtype=_label_dtype(classes))
    elif method == "predict_proba":
        yield TensorSpec(method, dims=(None, len(classes)))
    else:
        yield TensorSpec(method)


def _label_dtype(classes: Array) -> str | None:
    try:
        return dtype_name(classes)
    except TypeError:  # labels of mixed or foreign types
        return None

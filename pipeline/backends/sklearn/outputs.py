"""What an estimator gives: the results of its methods, as columns.

An output is called by its method. Most classifiers of several targets have a list of probabilities,
one array for each: ``predict_proba.0``, ``predict_proba.1``... in the order of the targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pipeline.backends.sklearn.features import width_made
from pipeline.backends.sklearn.sparse import to_column
from pipeline.backends.text import decoded
from pipeline.batch.columns import Array
from pipeline.batch.tensors import TensorSpec, dtype_name
from pipeline.errors import ModelFaultError

METHODS = ("predict", "predict_proba", "decision_function", "transform", "score_samples")


def output_specs(estimator: Any, probabilities: Callable[[], Any]) -> list[TensorSpec]:
    """The outputs of an estimator.

    Args:
      estimator: fitted.
      probabilities: calls its `predict_proba` with a made-up row, which may fail.
    """
    return [
        spec
        for method in METHODS
        if hasattr(estimator, method)
        for spec in _specs(estimator, method, probabilities)
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
    several = _is_of_several_targets(result)
    if several != bool(place):
        found = f"a list of {len(result)} arrays" if several else "one array"
        raise ModelFaultError(f"{method} returns {found}, which cannot be the column '{output}'")
    if place:
        result = result[int(place)]
    # Copied: a transformer may return its input, or an array that it keeps for the next call.
    return to_column(result) if hasattr(result, "tocsr") else decoded(np.array(result))


def _specs(estimator: Any, method: str, probabilities: Callable[[], Any]) -> Iterator[TensorSpec]:
    """What is certain about a method's result: the dtype of labels, one score for each class.

    `predict` has no certain shape: with several labels or targets it has a second axis.
    """
    classes = getattr(estimator, "classes_", None)
    of_one_target = classes if isinstance(classes, np.ndarray) and classes.ndim == 1 else None
    if method == "transform":
        yield TensorSpec(method, dims=width_made(estimator))
    elif method == "predict" and of_one_target is not None:
        yield TensorSpec(method, dtype=_label_dtype(of_one_target))
    elif method == "predict_proba" and of_one_target is not None:
        yield TensorSpec(method, dims=(None, len(of_one_target)))
    elif method == "predict_proba":
        yield from _probabilities(method, classes, probabilities)
    else:
        yield TensorSpec(method)


def _probabilities(
    method: str, classes: Any, probabilities: Callable[[], Any]
) -> Iterator[TensorSpec]:
    """Those of several targets, or of a target whose classes are not known.

    Some estimators of several targets have one array (`ClassifierChain`, `StackingClassifier`), and
    nothing but their result says so. Where the made-up row is refused, each form is an output, and
    the wrong one fails when it is computed.
    """
    try:
        found = probabilities()
    except Exception:
        yield TensorSpec(method)
        of_targets = classes if isinstance(classes, list) else []
        if all(isinstance(each, np.ndarray) for each in of_targets):
            yield from (_of_target(method, n, (len(each),)) for n, each in enumerate(of_targets))
        return
    if _is_of_several_targets(found):
        yield from (_of_target(method, n, each.shape[1:]) for n, each in enumerate(found))
    else:
        yield TensorSpec(method)


def _is_of_several_targets(result: Any) -> bool:
    """Whether it is a list of matrices; a class of one's own may list its rows."""
    if not isinstance(result, list) or not result:
        return False
    return all(isinstance(each, np.ndarray) and each.ndim == 2 for each in result)


def _of_target(method: str, place: int, row_shape: tuple[int, ...]) -> TensorSpec:
    return TensorSpec(f"{method}.{place}", dims=(None, *row_shape))


def _label_dtype(classes: Array) -> str | None:
    try:
        return dtype_name(classes)
    except TypeError:  # labels of mixed or foreign types
        return None

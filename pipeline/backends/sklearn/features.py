"""The names of the features that a scikit-learn estimator was fitted on.

Where the ensemble file binds a column to each, an estimator gets a DataFrame. Where it binds one
matrix, the names are compared with the columns of the graph when a release is rehearsed, and a call
hands over an array, which has no names; most estimators accept it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.tables.categories import CategoryCodes, lightgbm_codes, xgboost_codes
from pipeline.backends.tables.matrix import feature_names
from pipeline.batch.columns import Array
from pipeline.batch.tensors import Shape, TensorSpec
from pipeline.errors import LoadError, ModelFaultError

_BY_NAME = "Specifying the columns using strings is only supported for"
_OF_MAPPINGS = {
    "DictVectorizer": "save the steps behind it alone, and make their columns in `prepare` "
    "(`one_hot` for text, `concat`), in the order of its get_feature_names_out()",
    "FeatureHasher": "fit it with input_type='string' on lists of texts such as 'sex=f', which a "
    "field of texts with a shape is",
}
"""Transformers of a dictionary for each row -> what may be done besides fitting on a table."""
_OF_COLUMNS = 3
"""Length of what a ColumnTransformer keeps of a transformer: name, transformer, columns."""


def input_spec(tensor: str, estimator: Any) -> TensorSpec:
    """What is certain about the rows that an estimator takes: how many features, and their names.

    Args:
      tensor: the name of its input.
      estimator: fitted; of a pipeline, the first step that computes counts.
    """
    names = fitted_names(estimator)
    # CatBoost's estimators count 0 once they were saved and read, and so does what is around them.
    features = getattr(_first(estimator), "n_features_in_", None) or len(names or ())
    dims = (None, int(features)) if features else None
    return TensorSpec(tensor, dims=dims, features=names)


def check_takes_columns(path: Path, estimator: Any) -> None:
    """Refuses what begins with a transformer of dictionaries, or of pairs, for each row.

    Raises:
      LoadError: names the transformer, and what to fit or save instead.
    """
    first = _first(estimator)
    kind = type(first).__name__
    if kind not in _OF_MAPPINGS or getattr(first, "input_type", "dict") == "string":
        return
    raise LoadError(
        f"{path} begins with a {kind}, which takes a dictionary or pairs for each row, expected an "
        "array or columns of a table: fit a ColumnTransformer (with a OneHotEncoder for text) on a "
        f"table and bind a column to each feature, or {_OF_MAPPINGS[kind]}"
    )


def width_made(transformer: Any) -> Shape | None:
    """The axes of what a transformer of scikit-learn makes; None where its width is not known."""
    *_, last = [step for _, step in getattr(transformer, "steps", ())] or [transformer]
    if not type(last).__module__.startswith("sklearn."):  # whose own word is not certain
        return None
    if isinstance(width := getattr(last, "n_features", None), int):  # of those that hash
        return (None, width)
    try:
        return (None, len(last.get_feature_names_out()))
    except (AttributeError, ValueError, TypeError):
        return None


def takes_sparse(estimator: Any, parts: Iterable[Any]) -> bool:
    """Whether an estimator says that it takes sparse rows, and takes them for what they are.

    XGBoost takes the zeros that a sparse row leaves out for missing values.

    Args:
      estimator: fitted.
      parts: the estimator and everything that it is made of.
    """
    from sklearn.utils import get_tags

    if any(map(takes_categories, parts)):  # which all boosters do
        return False
    try:
        return bool(get_tags(_first(estimator)).input_tags.sparse)
    except (AttributeError, TypeError, ValueError):  # not made by scikit-learn's rules
        return False


def fitted_names(estimator: Any) -> tuple[str, ...] | None:
    """The names of the columns that an estimator was fitted on, None if these had none."""
    first = _first(estimator)
    names = getattr(first, "feature_names_in_", None)
    if names is None:  # files of LightGBM before 4.5 have these names only
        names = getattr(first, "feature_name_", None)
    return feature_names(names)


def needs_table(estimator: Any, parts: Iterable[Any], names: Sequence[str] | None) -> bool:
    """Whether an estimator was fitted on a table that no matrix of numbers stands for.

    It picks columns by name, or some are text (which may be of pandas' type for categories).
    """
    if names is None:
        return False
    known = categories(estimator, parts, names, len(names)).values()
    return picks_by_name(parts, names) or any(of.texts for of in known)


def picks_by_name(parts: Iterable[Any], names: Sequence[str]) -> bool:
    """Whether an estimator picks columns by name, which it can do from a DataFrame only."""
    return any(
        isinstance(column, str) and column in names
        for part in parts
        for _, columns in _picked(part)
        for column in (columns if isinstance(columns, list) else [columns])
    )


@dataclass(frozen=True)
class Categories:
    """What an encoder knows of a column.

    Attributes:
      texts: its categories, if they are text.
      numbers: its categories, if they are floats, sorted.
      missing: what stands for a missing text: None where it was None in training, else NaN. To an
        encoder the other one is an unknown category, to an imputer a value.
    """

    texts: tuple[str, ...] | None = None
    numbers: Array | None = None
    missing: float | None = np.nan

    def exact(self, column: Array) -> Array:
        """Numbers of few digits as the categories that they stand for.

        No encoder knows the 0.1 of float32 as its own 0.1, which is of float64.
        """
        if self.numbers is None or column.dtype.kind != "f":
            return column
        if column.itemsize >= self.numbers.itemsize:
            return column.astype(self.numbers.dtype, copy=False)
        short = self.numbers.astype(column.dtype)
        places = np.searchsorted(short, column).clip(max=len(short) - 1)
        known = np.take(self.numbers, places)
        return np.where(short[places] == column, known, column)


def categories(
    estimator: Any, parts: Iterable[Any], names: Sequence[str] | None, count: int
) -> dict[int, Categories]:
    """Place of a feature -> what is known of it, where an encoder of categories was fitted on it.

    Args:
      estimator: fitted on a table.
      parts: the estimator and everything that it is made of.
      names: of the columns, if they had names.
      count: of the columns.
    """
    places = list(range(count))
    encoders = [(estimator, places)]
    for part in parts:
        for encoder, columns in _picked(part):
            encoders.append((encoder, _places(columns, names, places)))
    found: dict[int, Categories] = {}
    for encoder, there in encoders:
        for place, values in zip(there, _categories(encoder, len(there)), strict=False):
            texts = tuple(str(value) for value in values if isinstance(value, str))
            known = Categories(texts or None, _floats(values), _missing(values))
            found.setdefault(place, known)
        for place in there if _fills_none(encoder) else ():
            found[place] = replace(found.get(place, Categories()), missing=None)
    return found


def _missing(values: Any) -> float | None:
    """What a missing text was in the data that an encoder was fitted on."""
    has_none = any(value is None for value in values)
    has_nan = any(isinstance(value, float) and np.isnan(value) for value in values)
    return None if has_none and not has_nan else np.nan


def _fills_none(transformer: Any) -> bool:
    """Whether a transformer, or the first of a pipeline, fills None and takes NaN for a value."""
    first = _first(transformer)
    return hasattr(first, "statistics_") and getattr(first, "missing_values", np.nan) is None


def _floats(values: Any) -> Array | None:
    """Those of some categories that are floats, sorted; None if none is."""
    array = np.asarray(values)
    if array.dtype.kind != "f":
        array = np.array([value for value in values if isinstance(value, float)])
    finite = np.sort(array[np.isfinite(array)]) if array.size else array
    return finite if finite.size else None


def _categories(encoder: Any, columns: int) -> Sequence[Any]:
    """The categories of each of some columns; of a pipeline, of its first step that has them."""
    for _, step in getattr(encoder, "steps", ()):
        if found := _categories(step, columns):
            return found
        if not isinstance(step, str) and not hasattr(step, "statistics_"):
            return ()  # neither "passthrough" nor an imputer: the columns are others from here
    known = getattr(encoder, "categories_", None)
    return known if isinstance(known, list) and len(known) == columns else ()


def _places(columns: Any, names: Sequence[str] | None, places: list[int]) -> list[int]:
    """Where the columns are that a transformer picks: by name, place, slice or mask."""
    if isinstance(columns, slice):
        bounds = (columns.start, columns.stop, columns.step)
        return places[columns] if all(b is None or isinstance(b, int) for b in bounds) else []
    listed = (
        list(columns)
        if isinstance(columns, Iterable) and not isinstance(columns, str)
        else [columns]
    )
    if all(isinstance(column, bool | np.bool_) for column in listed):
        return [place for place, picked in zip(places, listed, strict=False) if picked]
    if all(isinstance(column, int | np.integer) for column in listed):
        return [places[column] for column in listed if -len(places) <= column < len(places)]
    place_of = {name: place for place, name in enumerate(names or ())}
    return [place_of[column] for column in listed if column in place_of]


def booster_codes(estimator: Any) -> dict[int, CategoryCodes]:
    """Place of a feature -> its categories, where boosters of XGBoost or LightGBM see the rows.

    They are none where something else sees the rows as well, and where boosters differ in them.
    """
    found = [_codes(each) for each in _seeing(estimator)]
    return found[0] if found and all(codes == found[0] for codes in found) else {}


def _codes(estimator: Any) -> dict[int, CategoryCodes]:
    if hasattr(estimator, "get_booster"):
        return xgboost_codes(estimator.get_booster())
    if not hasattr(estimator, "booster_"):
        return {}
    codes = lightgbm_codes(estimator.booster_)
    complete = len(codes) == len(estimator.booster_.pandas_categorical or ())
    return codes if complete else {}


def _seeing(estimator: Any) -> Iterator[Any]:
    """The fitted estimators that see the rows as they come: the best of a search, voters..."""
    first = _first(estimator)
    inner = [getattr(first, "best_estimator_", None)]
    inner += [each.estimator for each in getattr(first, "calibrated_classifiers_", ())]
    if not hasattr(first, "estimators_features_"):  # those of bagging see some of the columns
        several = getattr(first, "estimators_", ())
        inner += several.ravel().tolist() if isinstance(several, np.ndarray) else several
    inner = [each for each in inner if hasattr(each, "predict")]
    for each in inner:
        yield from _seeing(each)
    # The last one of a stack may get the rows beside what the others predict of them.
    if not inner or getattr(first, "passthrough", False):
        yield first


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


def _picked(part: Any) -> Iterator[tuple[Any, Any]]:
    """The transformers of a ColumnTransformer, each with the columns that it picks."""
    for transformer in getattr(part, "transformers_", ()):
        if isinstance(transformer, tuple) and len(transformer) == _OF_COLUMNS:
            yield transformer[1], transformer[2]


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

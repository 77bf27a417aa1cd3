"""What features are called: by the file of a model, and by the columns that feed it.

A model's file has one name for each feature, often those of a table's columns. In the graph, a
feature is a place along the only axis of a row. It has the name of the column that holds nothing
else (a field first that of its key in the records), and keeps it through steps that compute each
value by itself. The values of a longer column have no names of their own; files that need names for
them use `x_0`, `x_1`... (as CSV files spread a tensor ``x``) and `sex_male` (the label of a
one_hot).

Two names are alike if their letters and digits agree: "Sepal length (cm)" and ``sepal_length_cm``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.batch.tensors import Shape
from pipeline.spec.column_types import Type
from pipeline.spec.graph import Graph
from pipeline.spec.prepare import PrepareStep
from pipeline.spec.record.keys import ColumnsKey, Key, written_name

_NOT_IN_COLUMNS = re.compile(r"[^A-Za-z0-9_.-]+")
_SEPARATORS = re.compile(r"[\W_]+")
_MADE_UP = ("Column_", "f", "")
"""The text before the number of a feature for which LightGBM, XGBoost or pandas had no name."""


@dataclass(frozen=True)
class Feature:
    """A place along the axis of a column.

    Attributes:
      names: what it may be called, the name that it got last first; never empty.
      is_named: it was a column by itself, so somebody gave it its names.
    """

    names: tuple[str, ...]
    is_named: bool


def column_name(name: str) -> str:
    """A name as a column may have it: letters, digits, '_', '.' and '-', a letter first."""
    text = _NOT_IN_COLUMNS.sub("_", name).strip("_.-")
    return text if text[:1].isalpha() else f"field_{text}".rstrip("_")


def column_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names of features as columns may have them, all different."""
    free: dict[str, None] = {}
    for name in names:
        plain = unique = column_name(name)
        number = 2
        while unique in free:
            unique, number = f"{plain}_{number}", number + 1
        free[unique] = None
    return tuple(free)


def are_made_up(names: Sequence[str]) -> bool:
    """Whether the names only number the features, as frameworks do without names."""
    return any(all(name == f"{begin}{i}" for i, name in enumerate(names)) for begin in _MADE_UP)


class Places:
    """Where the features of a model are, by name.

    Attributes:
      as_columns: the names as those of columns, all different.

    Args:
      names: as the model's file has them, in its order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.as_columns = column_names(names)
        self._ways: list[dict[str, list[int]]] = []
        # Two names that are alike are told apart if a column has exactly one of them.
        for spellings in (
            [(name,) for name in names],
            [(name,) for name in self.as_columns],
            [(_alike(a), _alike(b)) for a, b in zip(names, self.as_columns, strict=True)],
        ):
            found: dict[str, list[int]] = {}
            for place, of_place in enumerate(spellings):
                for spelling in set(of_place):
                    found.setdefault(spelling, []).append(place)
            self._ways.append(found)

    def of(self, feature: Feature) -> Sequence[int]:
        """Where the model has a feature, by the first of its names that the model knows."""
        return next(filter(None, map(self.called, feature.names)), ())

    def called(self, name: str) -> Sequence[int]:
        """Where the model has a feature of that name, or of one that is alike."""
        exact, as_column, alike = self._ways
        return exact.get(name) or as_column.get(name) or alike.get(_alike(name)) or ()

    def joined(self, columns: Iterable[tuple[str, Sequence[Feature]]]) -> tuple[str, ...]:
        """The columns that have to be joined to get what the model takes.

        A feature that no column has is taken from a column of its name.

        Args:
          columns: the columns that exist and their features; earlier ones are preferred. A column
            is usable if the model has its features one after the other, in one place.
        """
        begins: dict[int, tuple[str, int]] = {}
        for column, features in columns:
            found_at = self.of(features[0]) if features else ()
            if len(found_at) != 1:  # nobody can tell which of several it is
                continue
            (begin,) = found_at
            if all(begin + i in self.of(feature) for i, feature in enumerate(features)):
                begins.setdefault(begin, (column, len(features)))
        found: list[str] = []
        place = 0
        while place < len(self.as_columns):
            column, length = begins.get(place, (self.as_columns[place], 1))
            found.append(column)
            place += length
        return tuple(found)


def features_of(column: str, graph: Graph, types: Mapping[str, Type]) -> tuple[Feature, ...]:
    """The features of a column; none if its rows have no known length, or several axes.

    Args:
      column: of the record, a prepare step or a model.
      graph: the ensemble.
      types: column -> dtype and row shape.
    """
    shape = types[column][1] if column in types else (None,)
    if len(shape) > 1 or None in shape:
        return ()
    step = graph.prepare_step_of.get(column)
    if step is not None and step.joins:
        parts = [features_of(part, graph, types) for part in step.columns_read()]
        joined = [feature for part in parts for feature in part] if all(parts) else []
        return _called(column, joined) if len(joined) == 1 else tuple(joined)
    if step is not None and step.is_elementwise:
        return _called(column, features_of(step.columns_read()[0], graph, types))
    if step is not None and step.value_labels:
        return tuple(_labelled(step, features_of(step.columns_read()[0], graph, types)))
    return features_of_field(column, graph.spec.record.key_of.get(column, column), shape)


def features_of_field(field: str, key: Key, shape: Shape) -> tuple[Feature, ...]:
    """The features of a field, which have the names of its key and, after these, of the field.

    Those of a path have dots, as tables have them that were made of nested records.
    """
    own = features_by_itself(field, shape)
    if isinstance(key, ColumnsKey):
        by_key = tuple(Feature((name,), is_named=True) for name in key.names if own)
    else:
        by_key = features_by_itself(written_name(key), shape)
    pairs = zip(by_key, own, strict=True)
    return tuple(Feature(tuple(dict.fromkeys((*a.names, *b.names))), a.is_named) for a, b in pairs)


def features_by_itself(column: str, shape: Shape) -> tuple[Feature, ...]:
    """The features of a column of which nothing is known but its row shape; see `features_of`."""
    if len(shape) > 1 or None in shape:
        return ()
    return _called(column, [Feature((), is_named=False)] * math.prod(n or 0 for n in shape))


def _called(column: str, features: Sequence[Feature]) -> tuple[Feature, ...]:
    """The features of a column of this name that holds nothing else."""
    if len(features) == 1:
        return (Feature((column, *features[0].names), is_named=True),)
    return tuple(
        Feature((f"{column}_{i}", *feature.names), feature.is_named)
        for i, feature in enumerate(features)
    )


def _labelled(step: PrepareStep, read: Sequence[Feature]) -> Iterator[Feature]:
    sources = read[0].names if len(read) == 1 else ()
    for label in step.value_labels:
        names = tuple(f"{name}_{label}" for name in (step.column, *sources))
        yield Feature(names, is_named=False)


def _alike(name: str) -> str:
    return _SEPARATORS.sub("_", name.casefold()).strip("_")

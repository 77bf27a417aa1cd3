"""Whether the graph feeds a model's features in the order that the model's file names them in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pipeline.backends.tables.names import (
    Feature,
    Places,
    are_made_up,
    features_of,
)
from pipeline.spec.column_types import Type
from pipeline.spec.graph import Graph

_SHOWN = 6


@dataclass(frozen=True)
class FeatureOrder:
    """The features of a model beside those of the column that feeds them.

    Attributes:
      wanted: their names in the model's file, in its order.
      column: feeds them.
      graph: the ensemble.
      types: column -> dtype and row shape, of all columns that are known.
    """

    wanted: Sequence[str]
    column: str
    graph: Graph
    types: Mapping[str, Type]

    @property
    def clash(self) -> str:
        """What the model takes first that the column has not in that place; empty if nothing.

        As in "'age' as feature 1, but column 'x' of the record has 'fare' there". A feature without
        a name that the model knows is none: see `unknown`.
        """
        if not self._is_named:
            return ""
        for i, (name, feature, places) in enumerate(
            zip(self.wanted, self._features, self._places, strict=False)
        ):
            if i not in places and (places or feature.is_named):
                found = next((n for n in feature.names if self._index.called(n)), feature.names[0])
                return f"'{name}' as feature {i + 1}, but {self._told} has '{found}' there"
        return ""

    @property
    def advice(self) -> str:
        """What to write instead; empty where the column has no features that could be named."""
        if not self._is_named or not self._features:
            return ""
        lacking = self._lacking
        text = f"; it lacks {_listed(lacking)}" if lacking else ""
        order = ", ".join(self._index.joined(self._columns()))
        text += f"; in the order of the model's file: of: [{order}]"
        strangers = [
            feature.names[0]
            for feature, places in zip(self._features, self._places, strict=True)
            if feature.is_named and not places
        ]
        if lacking and strangers:
            dtype = self.types[strangers[0]][0] if strangers[0] in self.types else "float32"
            name = self._index.as_columns[self.wanted.index(lacking[0])]
            text += (
                "; a column that the model has under another name is renamed by a step such as "
                f"{{column: {name}, op: cast, of: {strangers[0]}, dtype: {dtype}}}"
            )
        return text

    @property
    def unknown(self) -> str:
        """What cannot be compared, since the graph has no names for it; empty if nothing."""
        nameless = sum(not places for places in self._places)
        if not self._is_named or (self._features and not nameless):
            return ""
        part = f"{nameless} of " if 0 < nameless < len(self._features) else ""
        return (
            f"its file names its features {_listed(self.wanted)}; whether they come in this order "
            f"cannot be told, as {self._told} has no names for {part}its values"
        )

    @property
    def _is_named(self) -> bool:
        return not are_made_up(self.wanted) or any(self._places)

    @property
    def _told(self) -> str:
        return f"column '{self.column}' of {self.graph.producers[self.column]}"

    @cached_property
    def _features(self) -> tuple[Feature, ...]:
        return features_of(self.column, self.graph, self.types)

    @cached_property
    def _index(self) -> Places:
        return Places(self.wanted)

    @cached_property
    def _places(self) -> list[Sequence[int]]:
        """Of each feature of the column, where the model has it."""
        return [self._index.of(feature) for feature in self._features]

    @property
    def _lacking(self) -> list[str]:
        """The model's features that the column surely has not."""
        if any(not p and not f.is_named for p, f in zip(self._places, self._features, strict=True)):
            return []
        there = {place for places in self._places for place in places}
        return [name for i, name in enumerate(self.wanted) if i not in there]

    def _columns(self) -> Iterator[tuple[str, Sequence[Feature]]]:
        """What can be joined: what is joined already, then all that is there before the models."""
        for column in (*self._parts(), *self.graph.types):
            yield column, features_of(column, self.graph, self.types)

    def _parts(self) -> tuple[str, ...]:
        """The columns that are joined to what feeds the model."""
        step = self.graph.prepare_step_of.get(self.column)
        while step is not None and step.is_elementwise:
            step = self.graph.prepare_step_of.get(step.columns_read()[0])
        return tuple(step.columns_read()) if step is not None and step.joins else ()


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown

"""The columns of an ensemble for which statistics are made, and the kind of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.spec.combine import CombineStep
from pipeline.spec.graph import Graph

MOST_COMPARED = 50
"""The most columns that are compared: 50 are 1,225 pairs, in each batch and on a page."""


@dataclass(frozen=True)
class WatchedColumns:
    """The outputs of the models, and the columns of a prediction that combine steps make.

    Attributes:
      homes: column -> the model that it belongs to, or "" for the ensemble; in reading order. A
        combine step's column that comes from one of several models belongs to that model.
      scores: columns whose vectors are known to hold a score for each of several choices, because
        a combine step chooses by them.
      ordered: columns whose rows are in the order of their values, so that the position of the
        highest one says nothing.
      labelled: those of `scores` whose highest position is a watched column of its own.
      compared: columns whose agreement says something; not the `labelled` ones, whose labels say
        the same, and of very many the first `MOST_COMPARED`.
      positions: columns that are the highest position of another column -> of which; not those
        that are the labels of the `labelled`.
      not_compared: the number of columns beyond the first `MOST_COMPARED`.
    """

    homes: Mapping[str, str]
    scores: frozenset[str]
    ordered: frozenset[str]
    labelled: frozenset[str]
    compared: frozenset[str]
    positions: Mapping[str, str] = field(default_factory=dict)
    not_compared: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, in order."""
        return tuple(self.homes)

    def of(self, model: str) -> list[str]:
        """The columns of one model, of the ensemble for ""."""
        return [column for column, home in self.homes.items() if home == model]


def watched_columns(graph: Graph) -> WatchedColumns:
    """The columns of an ensemble."""
    sources = {c: {model.name} for model in graph.models for c in model.columns_written()}
    by_models = list(sources)
    maker: dict[str, CombineStep] = {}
    for step in graph.combine:
        read = [sources.get(column, set()) for column in step.columns_read()]
        for column in step.columns_written():
            sources[column] = set().union(*read)
            maker[column] = step
    combined = [column for column in dict.fromkeys(graph.output) if column in maker]
    homes = {column: _home(sources[column], graph) for column in combined}
    homes |= {column: next(iter(sources[column])) for column in by_models}
    scores = _chosen_by(graph.combine) & set(homes)
    positions = {
        column: maker[column].columns_read()[0] for column in combined if maker[column].is_choice
    }
    labels = {column: source for column, source in positions.items() if source in scores}
    comparable = [column for column in homes if column not in labels]
    return WatchedColumns(
        homes,
        scores,
        frozenset(column for column in combined if maker[column].is_ordered),
        frozenset(labels.values()),
        frozenset(comparable[:MOST_COMPARED]),
        {column: source for column, source in positions.items() if column not in labels},
        len(comparable[MOST_COMPARED:]),
    )


def _home(sources: Iterable[str], graph: Graph) -> str:
    models = list(sources)
    return models[0] if len(models) == 1 and len(graph.models) > 1 else ""


def _chosen_by(steps: Iterable[CombineStep]) -> frozenset[str]:
    """The columns by which steps choose, and all those from which these are computed."""
    found: set[str] = set()
    for step in reversed(list(steps)):  # the reader of a column comes after its maker
        if step.chooses or found & set(step.columns_written()):
            found.update(step.columns_read())
    return frozenset(found)

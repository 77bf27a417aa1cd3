"""Whether the labels of a `lookup` are as many as the choices among which it looks one up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.spec.column_types import Type
from pipeline.spec.combine import CombineStep, Lookup, ScoreOp, TopK
from pipeline.spec.graph import Graph


def odd_counts(graph: Graph, types: Mapping[str, Type]) -> Iterator[str]:
    """Each `lookup` with more or fewer labels than the model has classes, in words.

    Nothing is wrong for sure: a model may have classes that it never chooses. But labels that
    lack its first class, or have one more, are all wrong by one.

    Args:
      graph: the ensemble.
      types: dtype and row shape of its columns.
    """
    maker: dict[str, CombineStep] = {
        column: step for step in graph.combine for column in step.columns_written()
    }
    for step in graph.combine:
        if not isinstance(step, Lookup) or step.labels is None:
            continue
        (position,) = step.columns_read()
        choice = maker.get(position)
        if not isinstance(choice, ScoreOp | TopK) or position != choice.column:
            continue
        if not (choice.is_choice or choice.is_ordered):
            continue
        (scores,) = choice.columns_read()
        shape = types[scores][1] if scores in types else ()
        if shape and shape[-1] is not None and shape[-1] != len(step.labels):
            yield (
                f"{step.title} has {len(step.labels)} labels, and column '{scores}' of "
                f"{graph.producers[scores]} has {shape[-1]} classes: if the labels lack the first "
                "class, or have one too many (such as 'background'), each is wrong by one"
            )

"""The ensemble's graph on the page."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.core.graph import Graph
from pipeline.core.tensors import describe
from pipeline.page.markup import Markup, element
from pipeline.page.tables import table


def graph_figure(graph: Graph) -> Markup:
    """What reads which columns and makes which others, in the order in which it runs."""
    record = [
        f"{name} {describe(f.dtype, f.shape)}" for name, f in graph.spec.record.fields.items()
    ]
    rows: list[tuple[str, ...]] = [("record", "", "", _columns(record))]
    rows += [
        ("prepare", step.op, step.of, _columns(step.columns_written())) for step in graph.prepare
    ]
    rows += [
        ("model", model.name, _columns(model.columns_read()), _columns(model.columns_written()))
        for model in graph.models
    ]
    rows += [
        ("combine", step.op, _columns(step.columns_read()), _columns(step.columns_written()))
        for step in graph.combine
    ]
    rows.append(("output", "", _columns(graph.output), ""))
    return table(("Step", "Name", "Reads", "Makes"), rows, caption="Steps in the order they run")


def _columns(names: Iterable[str]) -> Markup:
    return element("span", ", ".join(names), class_="code long")

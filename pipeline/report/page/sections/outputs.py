"""The outputs of the models and the ensemble: a figure for each column, and their agreement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.report import quantities
from pipeline.report.page.facts import RunFacts
from pipeline.report.page.heat_map import heat_map
from pipeline.report.page.histogram import has_width, histogram
from pipeline.report.page.label_bars import LabelCount, integer_rows, label_bars, text_rows
from pipeline.report.page.markup import Child, Markup, element, fragment
from pipeline.report.statistics.agreement import Agreement, Pair
from pipeline.report.statistics.columns import MOST_VALUES, ColumnStatistics
from pipeline.report.statistics.run import RunStatistics
from pipeline.report.statistics.value_sketch import ValueSketch
from pipeline.report.statistics.watched_columns import MOST_COMPARED, WatchedColumns

_NONE = "None: nothing was predicted."


def outputs(statistics: RunStatistics, facts: RunFacts, watched: WatchedColumns) -> Markup:
    """The distribution of every column, the ensemble's first."""
    if not statistics.columns:
        return element("p", _NONE)
    of_ensemble = list(_figures(watched.of(""), statistics))
    of_models = [
        element("div", element("h3", f"Model {model.name}"), figures)
        for model in facts.graph.models
        if (figures := list(_figures(watched.of(model.name), statistics)))
    ]
    return fragment(
        [
            [element("h3", "Ensemble"), element("div", of_ensemble, class_="figures")]
            if of_ensemble
            else None,
            element("div", of_models, class_="figures"),
        ]
    )


def agreements(statistics: RunStatistics, watched: WatchedColumns) -> Markup:
    """A heat map for each group of comparable columns."""
    if not statistics.predictions:
        return element("p", _NONE)
    found = {pair: agreement for pair, agreement in statistics.agreements.items() if agreement.rows}
    groups = _groups(found, watched)
    if not groups:
        return element("p", "None: no two outputs can be compared.")
    parts: list[Child] = [
        element(
            "p",
            "Share of the predicted rows for which two outputs name the same label; of outputs "
            "that hold a score for each of several choices, the same highest one.",
        )
    ]
    if watched.not_compared:
        note = f"Only the first {MOST_COMPARED} outputs are compared."
        parts.append(element("p", note, class_="note"))
    for group in groups:
        pairs = {pair: some for pair, some in found.items() if set(pair) <= set(group)}
        owners = {column: watched.homes[column] or "ensemble" for column in group}
        parts.append(heat_map(owners, pairs, f"Agreement of {', '.join(group)}"))
    return fragment(parts)


def _groups(found: Mapping[Pair, Agreement], watched: WatchedColumns) -> list[list[str]]:
    """Groups of comparable columns, those of models before the ensemble's."""
    groups: list[set[str]] = []
    for pair in sorted(found):
        mine = [group for group in groups if group & set(pair)]
        groups = [group for group in groups if group not in mine] + [set(pair).union(*mine)]
    order = sorted(watched.columns, key=lambda column: watched.homes[column] == "")
    return [[column for column in order if column in group] for group in groups]


def _figures(columns: Sequence[str], statistics: RunStatistics) -> Iterator[Markup]:
    for name in columns:
        if name in statistics.columns:
            yield _figure(name, statistics.columns[name])


def _figure(name: str, column: ColumnStatistics) -> Markup:
    return element(
        "figure",
        element("figcaption", element("h4", name), element("p", _describe(column), class_="note")),
        list(_pictures(name, column)),
    )


def _describe(column: ColumnStatistics) -> str:
    text = f"{column.kind}, {quantities.count(column.rows)} rows"
    if column.row_values > 1:
        text += f" of {quantities.count(column.row_values)} values"
    if column.row_values > MOST_VALUES:
        text += f", at most {MOST_VALUES} of them counted"
    if column.not_finite:
        text += f"; {quantities.count(column.not_finite)} values are NaN or infinite"
    return text


def _pictures(name: str, column: ColumnStatistics) -> Iterator[Markup]:
    if column.labels.total:
        rows, total = text_rows(column.labels), column.labels.total
        yield from _labels(rows, total, "Text", name, column.labels.missed)
    if column.values.count:
        yield from _numbers(name, column)
    if column.highest.count:
        yield element("p", "Position of the highest, from 0", class_="note")
        yield from _integers(f"the highest of {name}", column.highest, "Position")


def _numbers(name: str, column: ColumnStatistics) -> Iterator[Markup]:
    values = column.values
    if column.kind == "float":
        yield from _histogram(name, values)
    else:
        heading = "Value" if column.row_values > 1 else "Label"
        yield from _integers(name, values, heading, booleans=column.kind == "boolean")


def _integers(
    name: str, values: ValueSketch, heading: str, *, booleans: bool = False
) -> Iterator[Markup]:
    rows = integer_rows(values, booleans=booleans)
    if rows is None:
        yield from _histogram(name, values)
    else:
        yield from _labels(rows, values.count, heading, name)


def _histogram(name: str, values: ValueSketch) -> Iterator[Markup]:
    if not has_width(values):
        number = quantities.number(values.least)
        about = "" if values.least == values.greatest else "about "
        yield element("p", f"All {quantities.count(values.count)} values are {about}{number}.")
        return
    yield histogram(values, f"Distribution of {name}")
    yield _quantiles(values)


def _quantiles(values: ValueSketch) -> Markup:
    shown = [
        ("min", values.least),
        *((f"{100 * share:g} %", values.quantile(share)) for share in (0.05, 0.5, 0.95)),
        ("max", values.greatest),
    ]
    return element(
        "dl",
        [
            element(
                "div",
                element("dt", "median" if name == "50 %" else name),
                element("dd", quantities.number(value, 3)),
            )
            for name, value in shown
        ],
        class_="quantiles",
    )


def _labels(
    rows: Sequence[LabelCount], total: int, heading: str, name: str, missed: int = 0
) -> Iterator[Markup]:
    yield label_bars(rows, total, heading, f"Values of {name}")
    rest = total - sum(count for _, count in rows)
    if rest:
        yield element(
            "p",
            f"{quantities.count(rest)} others ({quantities.share(rest, total)}) are rarer.",
            class_="note",
        )
    if missed:
        yield element(
            "p",
            f"There are too many different ones to count all: each count may be too low by up to "
            f"{quantities.count(missed)}.",
            class_="note",
        )

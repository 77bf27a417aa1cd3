"""Counts of labels: a table with a bar in each row."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.report import quantities
from pipeline.report.page.markup import Markup, element
from pipeline.report.page.tables import table
from pipeline.report.statistics.label_counts import LabelCounts
from pipeline.report.statistics.value_sketch import ValueSketch

MOST_ROWS = 20
_WIDE = 12
LabelCount = tuple[str, int]


def integer_rows(values: ValueSketch, *, booleans: bool = False) -> list[LabelCount] | None:
    """Each integer and its count, in order; None if there are too many or counts are not exact."""
    if not values.exact or len(values.keys) > MOST_ROWS:
        return None
    numbers, _ = values.borders()
    return [
        (str(bool(value)) if booleans else str(int(value)), int(count))
        for value, count in zip(numbers, values.counts, strict=True)
    ]


def text_rows(labels: LabelCounts) -> list[LabelCount]:
    """The most frequent texts and their counts."""
    return labels.most_common()[:MOST_ROWS]


def label_bars(rows: Sequence[LabelCount], total: int, heading: str, caption: str) -> Markup:
    """The table.

    Args:
      rows: labels and counts, at least one.
      total: the count of all labels, including those that are not in `rows`.
      heading: what a label is.
      caption: a description for people who cannot see the table.
    """
    most = max(count for _, count in rows)
    width = f"min-width:{min(max(len(label) for label, _ in rows), _WIDE)}ch"
    return element(
        "div",
        table(
            (heading, "Count", "Share", ""),
            [
                (
                    element("span", label or "(empty)", class_="name", style=width),
                    quantities.count(count),
                    quantities.share(count, total),
                    element(
                        "span",
                        class_="bar",
                        style=f"width:{100 * count / most:.1f}%",
                        aria_hidden="true",
                    ),
                )
                for label, count in rows
            ],
            caption=caption,
            numeric=(1, 2),
        ),
        class_="bars",
    )

"""Counts of labels: a table with a bar in each row."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.core import quantities
from pipeline.core.label_counts import LabelCounts
from pipeline.core.value_sketch import ValueSketch
from pipeline.page.markup import Markup, element
from pipeline.page.tables import table

MOST_ROWS = 20
_WIDE = 12
Row = tuple[str, int]


def integer_rows(values: ValueSketch, *, booleans: bool = False) -> list[Row] | None:
    """Each integer and its count, in order; None where they are too many or not known exactly."""
    if not values.exact or len(values.keys) > MOST_ROWS:
        return None
    numbers, _ = values.borders()
    return [
        (str(bool(value)) if booleans else str(int(value)), int(count))
        for value, count in zip(numbers, values.counts, strict=True)
    ]


def text_rows(labels: LabelCounts) -> list[Row]:
    """The most frequent texts and their counts."""
    return labels.most_common()[:MOST_ROWS]


def label_bars(rows: Sequence[Row], total: int, heading: str, caption: str) -> Markup:
    """The table.

    Args:
      rows: labels and counts, at least one.
      total: of all labels, those that are not in `rows` too.
      heading: what a label is.
      caption: what is shown, for who cannot see it.
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

"""Tables, all alike."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from pipeline.report.page.markup import Child, Markup, element


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[Child]],
    *,
    caption: str,
    numeric: Collection[int] = (),
) -> Markup:
    """A table whose rows are headed by their first cell; it scrolls if it is too wide.

    Args:
      headings: the headings of the columns.
      rows: the cells, as many in a row as headings.
      caption: a description for screen readers only, since a visible heading says it, too.
      numeric: the positions of columns that are aligned to the right.
    """
    kinds = ["number" if place in numeric else None for place in range(len(headings))]
    head = [
        element("th", heading, scope="col", class_=kind)
        for heading, kind in zip(headings, kinds, strict=True)
    ]
    body = [
        element(
            "tr",
            element("th", row[0], scope="row", class_=kinds[0]),
            [element("td", cell, class_=k) for cell, k in zip(row[1:], kinds[1:], strict=True)],
        )
        for row in rows
    ]
    return scrolling(
        element(
            "table",
            element("caption", caption, class_="unseen"),
            element("thead", element("tr", head)),
            element("tbody", body),
        ),
        caption,
    )


def scrolling(content: Markup, label: str) -> Markup:
    """A wide element that scrolls by itself, so that the page does not have to."""
    return element(
        "div", content, class_="scrolling", tabindex="0", role="region", aria_label=label
    )

"""The agreement of each pair of columns: a table with shaded cells."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pipeline.report import quantities
from pipeline.report.page.colours import shade
from pipeline.report.page.markup import Markup, element
from pipeline.report.page.tables import scrolling
from pipeline.report.statistics.agreement import Agreement, Pair

_STEPS = 5


def heat_map(owners: Mapping[str, str], pairs: Mapping[Pair, Agreement], caption: str) -> Markup:
    """The table, and what its shades mean.

    Args:
      owners: column -> its model or the ensemble; at least two columns, all comparable.
      pairs: the agreement of each pair, named in alphabetical order.
      caption: a description for people who cannot see the table.
    """
    between = {pair: found.equal / found.rows for pair, found in pairs.items() if found.rows}
    # White is a round share below all of them; otherwise 95 % and 99 % would look alike.
    floor = math.floor(min(between.values()) * 10 - 1e-9) / 10
    floor = max(0.0, min(floor, 0.9))
    rows = [
        element(
            "tr",
            element("th", _name(one, owners[one]), scope="row"),
            [_cell(one, other, pairs, floor) for other in owners],
        )
        for one in owners
    ]
    columns = [element("th", _name(one, owner), scope="col") for one, owner in owners.items()]
    head = [element("td"), columns]
    drawn = element(
        "table",
        element("caption", caption, class_="unseen"),
        element("thead", element("tr", head)),
        element("tbody", rows),
        class_="heat",
    )
    return Markup(scrolling(drawn, caption) + _legend(floor))


def _name(column: str, owner: str) -> list[Markup]:
    return [element("b", owner), element("small", f" {column}")]


def _cell(one: str, other: str, pairs: Mapping[Pair, Agreement], floor: float) -> Markup:
    if one == other:
        return element("td", "\N{EM DASH}", class_="same")
    found = pairs.get((min(one, other), max(one, other)))
    if found is None or not found.rows:
        return element("td", "none")
    background, colour = shade((found.equal / found.rows - floor) / (1 - floor))
    return element(
        "td",
        quantities.share(found.equal, found.rows),
        style=f"background:{background};color:{colour}",
        title=f"{one} and {other}: {quantities.count(found.equal)} of "
        f"{quantities.count(found.rows)} rows",
    )


def _legend(floor: float) -> Markup:
    stops = [floor + (1 - floor) * step / (_STEPS - 1) for step in range(_STEPS)]
    boxes = []
    for stop in stops:
        background, colour = shade((stop - floor) / (1 - floor))
        label = f"{100 * stop:.3g} %"
        boxes.append(element("span", label, style=f"background:{background};color:{colour}"))
    return element("p", "Rows that agree: ", boxes, class_="legend")

"""The page as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pipeline.drawing.svg import as_svg
from pipeline.report.page.facts import RunFacts
from pipeline.report.page.markup import Markup, element, fragment
from pipeline.report.page.sections.dead_letters import dead_letters
from pipeline.report.page.sections.outputs import agreements, outputs
from pipeline.report.page.sections.overview import over_time, overview
from pipeline.report.page.sections.releases import models, releases
from pipeline.report.page.style import STYLE
from pipeline.report.page.tables import scrolling, table
from pipeline.report.statistics.run import RunStatistics
from pipeline.report.statistics.watched_columns import watched_columns

# Whatever a record holds, nothing on this page may run, and nothing may be fetched.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def render(statistics: RunStatistics, facts: RunFacts, written: datetime) -> str:
    """The page: one HTML document that needs nothing else.

    Args:
      statistics: the statistics of the run so far.
      facts: further facts about it.
      written: now, aware, UTC.
    """
    watched = watched_columns(facts.graph)
    sections = [
        ("time", "Over time", over_time(statistics, facts)),
        ("outputs", "Outputs", outputs(statistics, facts, watched)),
        ("agreement", "Agreement", agreements(statistics, watched)),
        ("dead-letters", "Dead letters", dead_letters(statistics)),
        ("releases", "Releases", releases(statistics, facts)),
        ("models", "Model versions", models(statistics, facts)),
        ("graph", "Graph", _graph(facts)),
        ("parameters", "Parameters", _parameters(facts)),
    ]
    links = [element("a", title, href=f"#{key}") for key, title, _ in sections]
    body = element(
        "main",
        element("header", overview(statistics, facts, written)),
        element("nav", links, aria_label="Sections"),
        [
            element("section", element("h2", title, id=key), content, aria_labelledby=key)
            for key, title, content in sections
        ],
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{facts.graph.spec.name}: report of a run"),
        element("style", Markup(STYLE)),
    )
    return "<!DOCTYPE html>\n" + element("html", head, "\n", element("body", body), lang="en")


def _graph(facts: RunFacts) -> Markup:
    return scrolling(Markup(as_svg(facts.drawing)), "Graph")


def _parameters(facts: RunFacts) -> Markup:
    return fragment(
        [
            _values(facts.given, "Parameters that were given"),
            element("h3", "Defaults"),
            _values(facts.defaults, "Parameters with their defaults"),
        ]
    )


def _values(pairs: Sequence[tuple[str, str]], caption: str) -> Markup:
    if not pairs:
        return element("p", "None.")
    rows = [
        (
            element("span", name, class_="code"),
            element("span", value or "not set", class_="code long"),
        )
        for name, value in pairs
    ]
    return table(("Parameter", "Value"), rows, caption=caption)

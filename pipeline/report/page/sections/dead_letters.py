"""The records without a prediction: their number by reason, and a few examples of each."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.report import quantities
from pipeline.report.page.markup import Child, Markup, element, fragment
from pipeline.report.page.tables import table
from pipeline.report.statistics.dead_letters import DeadLetterExample, DeadLetters, Reason
from pipeline.report.statistics.run import RunStatistics


def dead_letters(statistics: RunStatistics) -> Markup:
    """A table of reasons, and examples."""
    if not statistics.reasons:
        return element(
            "p", "None: every record has a prediction." if statistics.records else "None."
        )
    reasons = sorted(statistics.reasons.items(), key=lambda item: (-item[1].count, item[0]))
    parts: list[Child] = [
        table(
            ("Reason", "Stage", "Model", "Dead letters", "Share of records"),
            [
                (
                    reason.error_type,
                    reason.stage,
                    reason.model or "\N{EM DASH}",
                    quantities.count(some.count),
                    quantities.share(some.count, statistics.records),
                )
                for reason, some in reasons
            ],
            caption="Dead letters by reason",
            numeric=(3, 4),
        ),
        element("h3", "Examples"),
    ]
    parts += [_examples(reason, some) for reason, some in reasons]
    return fragment(parts)


def _examples(reason: Reason, some: DeadLetters) -> Markup:
    where = f"{reason.stage}, model {reason.model}" if reason.model else reason.stage
    shown = len(some.examples)
    number = f"{shown} of {quantities.count(some.count)}" if some.count > shown else str(shown)
    return element(
        "div",
        element("h4", f"{reason.error_type} ", element("small", f"{where}; {number} shown")),
        element("ul", [element("li", list(_example(e))) for e in some.examples], class_="examples"),
        class_="reason",
    )


def _example(example: DeadLetterExample) -> Iterator[Markup]:
    record = f"Record {example.record_id}: " if example.record_id else "Record without id: "
    yield element("p", element("b", record), element("bdi", example.message))
    if not example.payload_bytes:
        yield element("p", "empty", class_="note")
        return
    yield element("pre", element("bdi", example.payload))
    if example.payload.endswith("\N{HORIZONTAL ELLIPSIS}"):
        size = quantities.size(example.payload_bytes)
        yield element("p", f"the beginning of {size}", class_="note")

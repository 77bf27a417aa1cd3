"""The top of the page: the fate of the records, in total and over time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pipeline.report import quantities
from pipeline.report.page import moments
from pipeline.report.page.facts import RunFacts
from pipeline.report.page.markup import Child, Markup, element, fragment
from pipeline.report.page.timeline_chart import ReleaseMark, timeline_chart
from pipeline.report.statistics import value_sketch
from pipeline.report.statistics.run import RunStatistics
from pipeline.report.statistics.value_sketch import ValueSketch

_MARKED = {"rejected": "rejected", "failed": "failed to load"}
_LEAST_SLOTS = 4


def overview(statistics: RunStatistics, facts: RunFacts, written: datetime) -> Markup:
    """Headline, the most important numbers, times."""
    kind = "Stream" if facts.streaming else "Batch run"
    return fragment(
        [
            element("h1", facts.graph.spec.name),
            element(
                "p",
                f"{kind} of ",
                moments.moment(facts.started),
                " UTC: ",
                _in_a_sentence(statistics),
                class_="lead",
            ),
            element("dl", list(_tiles(statistics)), class_="tiles"),
            element("p", *_times(statistics, facts, written), class_="note"),
        ]
    )


def over_time(statistics: RunStatistics, facts: RunFacts) -> Markup:
    """Throughput, and latency if the records have event times."""
    timeline = statistics.timeline
    slots = max(timeline.slots) - min(timeline.slots) + 1 if timeline.slots else 0
    if slots < _LEAST_SLOTS:
        lasted = quantities.duration(slots * timeline.slot_secs)
        told = f"all records were finished within {lasted}, too short for a chart." if slots else ""
        return element("p", f"None: {told}" if told else "None.")
    title = "Records finished per second" + (" and latency" if _latencies(statistics) else "")
    note = f"A bar is {quantities.duration(timeline.slot_secs)}; the first and the last are cut. "
    if facts.streaming:
        note += facts.engine.release_change + (
            "Latency is from a record's event time (when it was published, or its file written) "
            "until its batch is encoded: 50 %, and 99 %, of the records of a bar took no longer. A "
            "vertical line marks the first record that a release served. "
        )
    return fragment(
        [
            timeline_chart(timeline, list(_marks(statistics)), f"{title}, over time"),
            element("p", note, class_="note"),
        ]
    )


def _in_a_sentence(statistics: RunStatistics) -> str:
    if not statistics.records:
        return "no records."
    records = quantities.count(statistics.records)
    if not statistics.dead_letters:
        return f"all {records} records have a prediction."
    share = quantities.share(statistics.dead_letters, statistics.records)
    return (
        f"of {records} records, {quantities.count(statistics.dead_letters)} ({share}) have no "
        "prediction."
    )


def _tiles(statistics: RunStatistics) -> Iterator[Markup]:
    records, dead = statistics.records, statistics.dead_letters
    yield _tile("Records", quantities.count(records))
    yield _tile("Predictions", quantities.count(statistics.predictions))
    yield _tile(
        "Dead letters",
        quantities.count(dead),
        quantities.share(dead, records) if records else None,
        "bad" if dead else None,
    )
    if records:
        rate = records / max(statistics.secs, 1e-3)
        yield _tile("Throughput", f"{quantities.number(rate, 3)}/s", "mean")
        yield _tile("Duration", quantities.duration(statistics.secs), "of the work on records")
    if latencies := _latencies(statistics):
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            latency = quantities.duration(latencies.quantile(share) / 1000)
            yield _tile(f"Latency {name}", latency)
    releases = statistics.releases
    if len(releases.each) > 1:
        more = "and earlier ones" if releases.earlier is not None else "that served"
        yield _tile("Releases", quantities.count(len(releases.each)), more)


def _tile(name: str, value: str, more: str | None = None, kind: str | None = None) -> Markup:
    return element(
        "div",
        element("dt", name),
        element("dd", element("b", value), element("small", more) if more else None),
        class_=kind,
    )


def _times(statistics: RunStatistics, facts: RunFacts, written: datetime) -> Iterator[Child]:
    if statistics.batches:
        yield "First bundle begun "
        yield moments.moment(moments.from_us(statistics.began_us))
        yield ", last batch finished "
        yield moments.moment(moments.from_us(statistics.ended_us))
        mean = quantities.number(statistics.records / statistics.batches)
        batches = quantities.count(statistics.batches)
        many = f"{batches} batches of {mean} records on average"
        yield f" (UTC); {many if statistics.batches > 1 else f'1 batch of {mean}'}. "
    yield "Page written "
    yield moments.moment(written)
    yield " UTC."
    if facts.streaming:
        yield (
            f" While the stream runs it is written anew {facts.engine.page_interval}. A record "
            "that is delivered twice, or whose bundle is retried, counts each time, so counts may "
            "be a little too high."
        )


def _latencies(statistics: RunStatistics) -> ValueSketch | None:
    slots = [slot.latencies_ms for slot in statistics.timeline.slots.values()]
    found = value_sketch.merged(slots) if slots else ValueSketch()
    return found if found.count else None


def _marks(statistics: RunStatistics) -> Iterator[ReleaseMark]:
    """Changes of release at their first record, and rejected proposals."""
    served = sorted(
        (served.first_us, release.generation)
        for release, served in statistics.releases.each.items()
    )
    marks = [ReleaseMark(at, f"generation {generation}") for at, generation in served[1:]]
    marks += [
        ReleaseMark(event.time_us, _MARKED[event.outcome], bad=True)
        for event in statistics.events
        if event.outcome in _MARKED
    ]
    yield from sorted(marks, key=lambda mark: mark.at_us)

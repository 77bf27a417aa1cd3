"""Wires a streaming job: its sources and sinks, and the branch that refreshes the models.

``native`` is a job for a service that has sources, sinks and triggered side inputs of its own; else
everything runs in this process, and the refresh branch ends in a step that tells the process's
ReleaseManager directly, because local runners block a side input until its window ends: for ever.

A service that is given a new build of a running job finds the state of a step by the step's name.
So names and steps depend on the options alone: release events have steps named for where they come
from, which are there also where nothing comes.
"""

from __future__ import annotations

import logging
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, Repeatedly
from apache_beam.transforms.window import GlobalWindows

from pipeline import build_report
from pipeline.build import (
    decode,
    encode,
    prepare,
    reading,
    rows_together,
    serve,
    to_prediction_rows,
)
from pipeline.connectors.bigquery_sink import InsertRows
from pipeline.connectors.folder_source import ReadNewFiles
from pipeline.connectors.pubsub_sink import PublishMessages
from pipeline.connectors.pubsub_source import ReadMessages
from pipeline.connectors.rolling_files import WriteRollingFiles
from pipeline.connectors.stopping import stopped
from pipeline.core.candidate import Candidate, ReleaseEvent
from pipeline.core.message import Message
from pipeline.core.metric_names import NAMESPACE
from pipeline.core.release import Release
from pipeline.core.table_rows import dead_letter_rows
from pipeline.launch import Job
from pipeline.launch_outputs import LINES_SUFFIX
from pipeline.refresh.event import RELEASE_EVENTS, CandidatesFromMessages
from pipeline.refresh.ticks import Ticks
from pipeline.refresh.watch import WatchModels
from pipeline.settings import Settings
from pipeline.tables import Tables, tables_of
from pipeline.transforms.assign_active_release import EVENTS, AssignActiveRelease
from pipeline.transforms.count_refused import LETTERS, STATISTICS, CountRefused
from pipeline.transforms.encode import (
    DEAD_LETTER_LINES,
    DEAD_LETTER_MESSAGES,
    PREDICTION_LINES,
    PREDICTION_MESSAGES,
)
from pipeline.transforms.gate import LocalGate, StatefulGate

_LOGGER = logging.getLogger(__name__)
RELEASE_LOGGER = logging.getLogger("pipeline.releases")
"""What became of each proposed release, a line each."""

_TICK_SECS = 0.2

Events = dict[str, Any]
"""Where release events come from -> the PCollection of them."""


def build_stream(pipeline: beam.Pipeline, job: Job, *, native: bool) -> None:
    """Adds the steps of a streaming job to an empty pipeline."""
    settings = job.settings
    events = {"Launch": _launch_events(pipeline, job)}
    releases = _refresh(pipeline, job, native, events)
    side_inputs = [] if releases is None else [beam.pvalue.AsIter(releases)]
    assign = beam.ParDo(AssignActiveRelease(job.handle, job.release), *side_inputs)
    decoded = _read(pipeline, job, native) | "Decode" >> decode(job)
    assign = assign.with_outputs(EVENTS, main="batches")
    assigned = prepare(decoded, job) | "AssignRelease" >> assign
    events["Assign"] = assigned[EVENTS]
    finished = serve(assigned["batches"], job)
    outputs = encode(finished, job, _wanted(settings))
    _write(outputs, settings, native)
    statistics = _insert(outputs, job, tables_of(settings, pipeline.options), native)
    if settings.report_path:
        statistics = [build_report.gather(finished, job), *statistics]
        _report(pipeline, statistics, events, job, native)
    _write_events(events, settings, native)


def _report(
    pipeline: beam.Pipeline, statistics: list[Any], events: Events, job: Job, native: bool
) -> None:
    """A service writes the page itself; a local stream's statistics stay in this process."""
    parts = [*statistics, *build_report.of_events(events)]
    if not native:
        build_report.keep(parts, job.handle.job_key)
        return
    page = build_report.page_of(job, pipeline.options, on_service=True)
    build_report.report_every_minute(parts | "Statistics" >> beam.Flatten(), page)


def _read(pipeline: beam.Pipeline, job: Job, native: bool) -> Any:
    settings = job.settings
    if settings.input_file_pattern:
        journal = None
        if settings.output_path and not native:
            journal = f"{settings.output_path}.read-journal"
        blocks = pipeline | "Read" >> ReadNewFiles(
            settings.input_file_pattern,
            reading(job),
            stopped=stopped,
            journal=journal,
        )
        return blocks | "Spread" >> beam.Reshuffle() if native else blocks
    return pipeline | "Read" >> ReadMessages(
        subscription=settings.input_subscription or None,
        topic=settings.input_topic or None,
        block_rows=rows_together(job),
        native=native,
        patience_secs=settings.max_batch_latency_ms / 1000,
    )


def _launch_events(pipeline: beam.Pipeline, job: Job) -> Any:
    """What the launch passed over. Without a reshuffle, which Beam adds for two events or more."""
    told = beam.Create(job.events, reshuffle=False).with_output_types(ReleaseEvent)
    return pipeline | "PassedOver" >> told


def _refresh(pipeline: beam.Pipeline, job: Job, native: bool, events: Events) -> Any | None:
    """The refresh branch; adds to `events`, and returns the releases for a side input, if any."""
    if job.refresh is None:
        return None
    refresh, settings = job.refresh, job.settings
    sources = {"Watch": pipeline | "Watch" >> WatchModels(refresh.watcher, stopped)}
    if settings.listens:
        asked = (
            pipeline
            | "ReadRefresh"
            >> ReadMessages(
                subscription=settings.refresh_subscription,
                block_rows=100,
                native=native,
            )
            | "Interpret"
            >> beam.ParDo(
                CandidatesFromMessages(
                    [model.name for model in job.graph.models],
                    refresh.watcher,
                    looks_itself=native,
                )
            ).with_outputs(RELEASE_EVENTS, main="candidates")
        )
        sources["Messages"] = asked["candidates"]
        events["Messages"] = asked[RELEASE_EVENTS]
    if not native:
        # Candidates and ticks go through steps of their own: together they would pass a Flatten,
        # which ends the fused stage, for nothing.
        sources["Ticks"] = pipeline | "Ticks" >> Ticks(_TICK_SECS, stopped)
        for name, source in sources.items():
            gate = LocalGate(refresh.gate, job.handle)
            events[f"Gate {name}"] = source | f"Gate[{name}]" >> beam.ParDo(gate)
        return None
    gated = (
        tuple(sources.values())
        | "Candidates" >> beam.Flatten()
        | "OneKey" >> beam.WithKeys("gate").with_output_types(tuple[str, Candidate])
        | "Gate"
        >> beam.ParDo(StatefulGate(refresh.judge, refresh.managers, refresh.state)).with_outputs(
            EVENTS, main="releases"
        )
    )
    events["Gate"] = gated[EVENTS]
    # A service holds records back until the side input has fired once: the first release does that.
    # Every firing holds all releases so far, so a worker that starts late is told of the newest.
    first = pipeline | "FirstRelease" >> beam.Create([job.release])
    return (
        (first, gated["releases"])
        | "Releases" >> beam.Flatten()
        | "EachRelease"
        >> beam.WindowInto(
            GlobalWindows(),
            trigger=Repeatedly(AfterCount(1)),
            accumulation_mode=AccumulationMode.ACCUMULATING,
        ).with_output_types(Release)
    )


def _wanted(settings: Settings) -> tuple[str, ...]:
    sinks = {
        PREDICTION_LINES: settings.output_path or settings.output_table,
        PREDICTION_MESSAGES: settings.output_topic,
        DEAD_LETTER_LINES: settings.dead_letter_path or settings.dead_letter_table,
        DEAD_LETTER_MESSAGES: settings.dead_letter_topic,
    }
    return tuple(tag for tag, place in sinks.items() if place)


def _write(outputs: Any, settings: Settings, native: bool) -> None:
    for tag, prefix in (
        (PREDICTION_LINES, settings.output_path),
        (DEAD_LETTER_LINES, settings.dead_letter_path),
    ):
        if prefix:
            _ = outputs[tag] | f"Write {tag}" >> _files(prefix, settings, native)
    for tag, topic in (
        (PREDICTION_MESSAGES, settings.output_topic),
        (DEAD_LETTER_MESSAGES, settings.dead_letter_topic),
    ):
        if topic:
            _ = outputs[tag] | f"Publish {tag}" >> PublishMessages(topic, native=native)


def _insert(outputs: Any, job: Job, tables: Tables, native: bool) -> list[Any]:
    """Predictions and dead letters go to tables; a prediction that is refused is a dead letter.

    Returns:
      the statistics of what was refused, as PCollections.
    """
    settings, refused, statistics = job.settings, [], []
    if tables.predictions:
        insert = InsertRows(tables.predictions, to_prediction_rows(job), native=native)
        count = CountRefused(job.handle.job_key, reported=bool(settings.report_path))
        counted = (
            outputs[PREDICTION_LINES]
            | "InsertPredictions" >> insert
            | "CountRefused" >> beam.ParDo(count).with_outputs(LETTERS, STATISTICS)
        )
        refused.append(counted[LETTERS])
        statistics.append(counted[STATISTICS])
        if settings.dead_letter_path:
            files = _files(settings.dead_letter_path, settings, native)
            _ = refused[0] | "WriteRefused" >> files
        if settings.dead_letter_topic:
            _ = (
                refused[0]
                | "RefusedMessage" >> beam.Map(_refused_message)
                | "PublishRefused" >> PublishMessages(settings.dead_letter_topic, native=native)
            )
    if tables.dead_letters:
        letters = [outputs[DEAD_LETTER_LINES], *refused]
        for number, lines in enumerate(letters):
            insert = InsertRows(tables.dead_letters, dead_letter_rows, native=native)
            lost = lines | f"InsertDeadLetters{number}" >> insert
            _ = lost | f"LogLost{number}" >> beam.Map(_log_lost)
    return statistics


def _write_events(events: Events, settings: Settings, native: bool) -> None:
    for source, some in events.items():
        logged = some | f"LogEvents[{source}]" >> beam.Map(_log_event)
        if settings.release_events_path:
            _ = (
                logged
                | f"EventLine[{source}]" >> beam.Map(ReleaseEvent.line)
                | f"WriteEvents[{source}]" >> _files(settings.release_events_path, settings, native)
            )
        if settings.release_events_topic:
            _ = (
                logged
                | f"EventMessage[{source}]" >> beam.Map(_event_message)
                | f"PublishEvents[{source}]"
                >> PublishMessages(settings.release_events_topic, native=native)
            )


def _log_event(event: ReleaseEvent) -> ReleaseEvent:
    Metrics.counter(NAMESPACE, f"releases/{event.outcome}").inc()
    bad = event.outcome in ("rejected", "failed")
    RELEASE_LOGGER.log(logging.WARNING if bad else logging.INFO, "%s", event)
    return event


def _log_lost(line: bytes) -> None:
    _LOGGER.error("a dead letter could not be inserted: %s", line.decode().rstrip())


def _refused_message(line: bytes) -> tuple[Message, ...]:
    return (Message(line.rstrip(b"\n"), {"stage": "write", "error_type": "not_inserted"}),)


def _event_message(event: ReleaseEvent) -> tuple[Message, ...]:
    return (Message(event.line().rstrip(b"\n"), {"event": event.outcome}),)


def _files(prefix: str, settings: Settings, native: bool) -> WriteRollingFiles:
    return WriteRollingFiles(
        prefix, LINES_SUFFIX, local=not native, roll_secs=settings.output_file_secs
    )

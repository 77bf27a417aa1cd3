"""Wires a streaming job: its sources and sinks, and the branch that refreshes the models.

The engine (`jobs.engines`) chooses the transforms that suit the runner.

A service that is given a new build of a running job finds the state of a step by the step's name.
So names and steps depend on the options alone: release events have steps named for where they come
from, which are there also where nothing comes.
"""

from __future__ import annotations

import logging
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.batch.message import Message
from pipeline.batch.metrics import NAMESPACE
from pipeline.connectors.bigquery.output_rows import dead_letter_rows
from pipeline.formats.line_encoder import fitting_dead_letter
from pipeline.jobs import report
from pipeline.jobs.batch import (
    decode_blocks,
    encode,
    reading,
    run_prepare_steps,
    serve,
    to_prediction_rows,
)
from pipeline.jobs.engines.contract import Events, JobEngine
from pipeline.launch.job import Job
from pipeline.launch.settings import Content, Medium, Outputs, Sink
from pipeline.readable import logger
from pipeline.releases.candidate import ReleaseEvent
from pipeline.transforms.collect import CollectMessages
from pipeline.transforms.count_refused import LETTERS, STATISTICS, CountRefused
from pipeline.transforms.encode import (
    DEAD_LETTER_LINES,
    DEAD_LETTER_MESSAGES,
    PREDICTION_LINES,
    PREDICTION_MESSAGES,
)
from pipeline.transforms.follow_releases import AssignActiveRelease
from pipeline.transforms.gate import EVENTS
from pipeline.transforms.refresh_messages import CandidatesFromMessages
from pipeline.transforms.watch import WatchModels

_LOGGER = logger(__name__)
RELEASE_LOGGER = logger("pipeline.releases")
"""What became of each proposed release, a line each."""

_ENCODED = {
    (Content.PREDICTIONS, Medium.FILES): PREDICTION_LINES,
    (Content.PREDICTIONS, Medium.TABLE): PREDICTION_LINES,
    (Content.PREDICTIONS, Medium.TOPIC): PREDICTION_MESSAGES,
    (Content.DEAD_LETTERS, Medium.FILES): DEAD_LETTER_LINES,
    (Content.DEAD_LETTERS, Medium.TABLE): DEAD_LETTER_LINES,
    (Content.DEAD_LETTERS, Medium.TOPIC): DEAD_LETTER_MESSAGES,
}
"""Which output of Encode goes into a sink."""
_RETRY_SECS = 60.0


def build_stream(pipeline: beam.Pipeline, job: Job, engine: JobEngine) -> None:
    """Adds the steps of a streaming job to an empty pipeline."""
    settings = job.settings
    events = {"Launch": _launch_events(pipeline, job)}
    _refresh(pipeline, job, engine, events)
    assign = beam.ParDo(
        AssignActiveRelease(
            *(job.handle, job.release, job.follower),
            falls_back=settings.refresh.follows,
            retry_secs=_RETRY_SECS if settings.models.launch_checks != "full" else 0.0,
        )
    )
    decoded = _read(pipeline, job, engine) | "Decode" >> decode_blocks(job)
    assign = assign.with_outputs(EVENTS, main="batches")
    assigned = run_prepare_steps(decoded, job) | "AssignRelease" >> assign
    events["Assign"] = assigned[EVENTS]
    finished = serve(assigned["batches"], job, faults_raise=not engine.retries_for_ever)
    outputs = encode(finished, job, _wanted(settings.outputs))
    _write(outputs, settings.outputs, engine)
    statistics = _insert(outputs, job, engine)
    if settings.outputs.report_path:
        statistics = [report.gather(finished, job), *statistics, *report.event_statistics(events)]
        engine.write_page(statistics, job, pipeline.options)
    _write_events(events, settings.outputs, engine)


def _read(pipeline: beam.Pipeline, job: Job, engine: JobEngine) -> Any:
    inputs = job.settings.inputs
    if pattern := inputs.input_file_pattern:
        output_path = job.settings.outputs.place(Content.PREDICTIONS, Medium.FILES)
        return engine.read_files(pipeline, pattern, reading(job), output_path, job.stopped)
    rows, patience_secs = job.row_limits.block_rows, job.settings.models.max_batch_latency_ms / 1000
    blocks = pipeline | "Read" >> engine.read_messages(
        subscription=inputs.input_subscription or None,
        topic=inputs.input_topic or None,
        block_rows=rows,
        patience_secs=patience_secs,
        stopped=job.stopped,
        id_label=inputs.id_label,
        timestamp_attribute=inputs.timestamp_attribute,
    )
    if engine.small_bundles and patience_secs:
        return blocks | "Collect" >> CollectMessages(rows, patience_secs)
    return blocks


def _launch_events(pipeline: beam.Pipeline, job: Job) -> Any:
    """What the launch passed over. Without a reshuffle, which Beam adds for two events or more."""
    told = beam.Create(job.events, reshuffle=False).with_output_types(ReleaseEvent)
    return pipeline | "PassedOver" >> told


def _refresh(pipeline: beam.Pipeline, job: Job, engine: JobEngine, events: Events) -> None:
    """The refresh branch; adds to `events`."""
    if job.refresh is None:
        return
    watcher, settings = job.refresh.watcher, job.settings.refresh
    sources = {"Watch": pipeline | "Watch" >> WatchModels(watcher, job.stopped)}
    if settings.listens:
        read = engine.read_messages(
            subscription=settings.refresh_subscription,
            block_rows=100,
            stopped=job.stopped,
            settled=job.refresh.queue.is_settled,
            required=False,  # records are served all the same
        )
        names = [model.name for model in job.graph.models]
        interpret = CandidatesFromMessages(names, engine.lookout(watcher))
        asked = (
            pipeline
            | "ReadRefresh" >> read
            | "Interpret" >> beam.ParDo(interpret).with_outputs(EVENTS, main="candidates")
        )
        sources["Messages"] = asked["candidates"]
        events["Messages"] = asked[EVENTS]
    events.update(engine.gate(pipeline, sources, job))


def _wanted(outputs: Outputs) -> tuple[str, ...]:
    tags = [_ENCODED.get((sink.content, sink.medium)) for sink in outputs.sinks]
    return tuple(dict.fromkeys(tag for tag in tags if tag))


def _write(encoded: Any, outputs: Outputs, engine: JobEngine) -> None:
    for medium, verb in ((Medium.FILES, "Write"), (Medium.TOPIC, "Publish")):
        for sink in outputs.of(medium):
            if tag := _ENCODED.get((sink.content, medium)):
                _ = encoded[tag] | f"{verb} {tag}" >> _delivery(sink, outputs, engine)


def _delivery(sink: Sink, outputs: Outputs, engine: JobEngine) -> Any:
    """What writes lines into the files of a sink, or sends messages to its topic."""
    if sink.medium is Medium.FILES:
        return engine.write_lines(sink.place, outputs.output_file_secs or engine.file_secs)
    return engine.publish(sink.place)


def _insert(outputs: Any, job: Job, engine: JobEngine) -> list[Any]:
    """Predictions and dead letters go to tables; a prediction that is refused is a dead letter.

    Returns:
      the statistics of what was refused, as PCollections.
    """
    tables, sinks = job.tables, job.settings.outputs
    refused, statistics = [], []
    if tables.predictions:
        insert = engine.insert(tables.predictions, to_prediction_rows(job))
        count = CountRefused(job.handle.job_key, reported=bool(sinks.report_path))
        counted = (
            outputs[PREDICTION_LINES]
            | "InsertPredictions" >> insert
            | "CountRefused" >> beam.ParDo(count).with_outputs(LETTERS, STATISTICS)
        )
        refused.append(counted[LETTERS])
        statistics.append(counted[STATISTICS])
        for sink in sinks.of(Content.DEAD_LETTERS, Medium.FILES):
            _ = refused[0] | "WriteRefused" >> _delivery(sink, sinks, engine)
        for sink in sinks.of(Content.DEAD_LETTERS, Medium.TOPIC):
            messages = refused[0] | "RefusedMessage" >> beam.Map(_refused_message)
            _ = messages | "PublishRefused" >> _delivery(sink, sinks, engine)
    if tables.dead_letters:
        letters = [outputs[DEAD_LETTER_LINES], *refused]
        for number, lines in enumerate(letters):
            insert = engine.insert(tables.dead_letters, dead_letter_rows)
            lost = lines | f"InsertDeadLetters{number}" >> insert
            _ = lost | f"LogLost{number}" >> beam.Map(_log_lost)
    return statistics


def _write_events(events: Events, outputs: Outputs, engine: JobEngine) -> None:
    for source, some in events.items():
        logged = some | f"LogEvents[{source}]" >> beam.Map(log_event)
        for sink in outputs.of(Content.RELEASE_EVENTS, Medium.FILES):
            lines = logged | f"EventLine[{source}]" >> beam.Map(ReleaseEvent.line)
            _ = lines | f"WriteEvents[{source}]" >> _delivery(sink, outputs, engine)
        for sink in outputs.of(Content.RELEASE_EVENTS, Medium.TOPIC):
            messages = logged | f"EventMessage[{source}]" >> beam.Map(_event_message)
            _ = messages | f"PublishEvents[{source}]" >> _delivery(sink, outputs, engine)


def log_event(event: ReleaseEvent) -> ReleaseEvent:
    """Logs and counts what became of a candidate; passes it on."""
    Metrics.counter(NAMESPACE, f"releases/{event.outcome}").inc()
    bad = event.outcome in ("rejected", "failed")
    RELEASE_LOGGER.log(logging.WARNING if bad else logging.INFO, "%s", event)
    return event


def _log_lost(line: bytes) -> None:
    _LOGGER.error("a dead letter could not be inserted: %s", line.decode().rstrip())


def _refused_message(line: bytes) -> tuple[Message, ...]:
    line = fitting_dead_letter(line)
    return (Message(line.rstrip(b"\n"), {"stage": "write", "error_type": "not_inserted"}),)


def _event_message(event: ReleaseEvent) -> tuple[Message, ...]:
    return (Message(event.line().rstrip(b"\n"), {"event": event.outcome}),)

"""Wires the report of a run: statistics beside Encode, brought together, written as a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.trigger import AccumulationMode, AfterProcessingTime, Repeatedly
from apache_beam.transforms.window import GlobalWindows

from pipeline.batch.metrics import NAMESPACE, REPORT_PAGES
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.errors import ArtifactError
from pipeline.launch.job import Job
from pipeline.parameters import PARAMETERS
from pipeline.readable import logger
from pipeline.report.page.facts import EngineNotes, RunFacts
from pipeline.report.page.page import render
from pipeline.report.statistics import run as run_statistics
from pipeline.report.statistics.run import RunStatistics
from pipeline.report.statistics.watched_columns import watched_columns
from pipeline.runner.beam_types import DoFn
from pipeline.transforms.gather import GatherStatistics, KeepStatistics, MergeStatistics

REFRESH_SECS = 60
"""Between two pages of a stream."""

_FANOUT = 16
_SHOWN_BEAM_OPTIONS = (
    *("runner", "direct_num_workers", "direct_running_mode", "project", "region", "job_name"),
    *("machine_type", "num_workers", "max_num_workers"),
)
_LOGGER = logger(__name__)


@dataclass(frozen=True)
class Page:
    """Where the page goes, and what is on it besides the statistics. Can be pickled.

    Attributes:
      path: local or ``gs://``.
      facts: of the run.
    """

    path: str
    facts: RunFacts

    def write(self, statistics: RunStatistics) -> None:
        """Writes the page, which replaces an earlier one. Readers see either one whole.

        Raises:
          ArtifactError: the storage refuses.
        """
        text = render(statistics, self.facts, datetime.now(UTC))
        BeamArtifactStore().write_text(self.path, text, "text/html")


def page_of(job: Job, options: PipelineOptions, notes: EngineNotes) -> Page:
    """The page of a job that has a `report_path`.

    Args:
      job: the job.
      options: Beam's, of the job.
      notes: of the engine that it runs on.
    """
    settings = job.settings
    given: list[tuple[str, str]] = []
    defaults: list[tuple[str, str]] = []
    for parameter in PARAMETERS:
        if not parameter.to_beam:
            value = _text(settings.values[parameter.name])
            at_default = value == (parameter.default or "")
            (defaults if at_default else given).append((parameter.name, value))
    beam_options = options.get_all_options(drop_default=True)
    given += [(n, _text(beam_options[n])) for n in _SHOWN_BEAM_OPTIONS if n in beam_options]
    facts = RunFacts(
        job.graph,
        job.drawing(),
        job.release,
        datetime.now(UTC),
        settings.inputs.streaming,
        notes,
        tuple(given),
        tuple(defaults),
    )
    return Page(settings.outputs.report_path, facts)


def gather(batches: Any, job: Job) -> Any:
    """The statistics of each bundle of finished batches: PCollection[RunStatistics]."""
    watched = watched_columns(job.graph)
    step = beam.ParDo(GatherStatistics(watched, job.handle))
    return batches | "GatherStatistics" >> step


def report_at_end(statistics: Any, page: Page, after: Iterable[Any] = ()) -> list[Any]:
    """Writes the page once, when everything is finished: of a job that fails before, none.

    Args:
      statistics: of all bundles.
      page: where to.
      after: see `transforms.waiting`.

    Returns:
      what is complete when the page is written, as PCollections.
    """
    written = (
        statistics
        | "MergeStatistics" >> beam.CombineGlobally(MergeStatistics())
        | "WriteReport" >> beam.ParDo(_WritePage(page), *after)
    )
    return [written]


def report_every_minute(statistics: Any, page: Page) -> None:
    """Writes the page anew every minute in which something was finished, and at the end.

    One window without end, and every firing holds all that was gathered since the job began: a page
    is never of a part of the run. A fan-out gathers before all meets in one place.
    """
    _ = (
        statistics
        | "EachMinute"
        >> beam.WindowInto(
            GlobalWindows(),
            trigger=Repeatedly(AfterProcessingTime(REFRESH_SECS)),
            accumulation_mode=AccumulationMode.ACCUMULATING,
        )
        | "MergeStatistics"
        >> beam.CombineGlobally(MergeStatistics()).without_defaults().with_fanout(_FANOUT)
        | "WriteReport" >> beam.ParDo(_WritePage(page))
    )


def keep(statistics: Iterable[Any], job_key: str) -> None:
    """Adds statistics to those of this process, which run_stream makes the page of."""
    for number, some in enumerate(statistics):
        _ = some | f"KeepStatistics{number}" >> beam.ParDo(KeepStatistics(job_key))


def event_statistics(events: Mapping[str, Any]) -> list[Any]:
    """The statistics of release events: of all but those that every process has for itself.

    Args:
      events: where they come from, which the steps are named for -> the PCollection of them.
    """
    return [
        some
        | f"OfVerdict[{source}]" >> beam.Filter(_is_news)
        | f"OfEvent[{source}]"
        >> beam.Map(run_statistics.from_event).with_output_types(RunStatistics)
        for source, some in events.items()
    ]


class _WritePage(DoFn):
    """A page that cannot be written is an error in the log: it must not cost the run."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def process(self, statistics: RunStatistics, _after: Any = None) -> None:
        try:
            self._page.write(statistics)
        except ArtifactError as error:
            _LOGGER.error("--report_path: %s", error)
        else:
            Metrics.counter(NAMESPACE, REPORT_PAGES).inc()


def _is_news(event: Any) -> bool:
    return event.outcome not in ("activated", "ignored")


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)

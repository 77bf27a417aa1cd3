"""Statistics of what a bundle finished, and how they come together."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.coders.coders import ListCoder
from apache_beam.transforms.window import GlobalWindows

from pipeline.batch.batch import Batch
from pipeline.batch.release import Release
from pipeline.report.statistics import run as run_statistics
from pipeline.report.statistics.run import LoadedModel, RunStatistics
from pipeline.report.statistics.watched_columns import WatchedColumns
from pipeline.runner.beam_types import CombineFn, DoFn
from pipeline.runner.coders import FormCoder
from pipeline.serving.release_manager import ManagerHandle
from pipeline.transforms.gathered import process_statistics

_FEW = 8
"""Releases of which a process remembers what it had loaded."""
_MANY = 32
"""Parts that are kept before they are merged: one merge of many costs little more than of two."""


def _now_us() -> int:
    return time.time_ns() // 1000


@beam.typehints.with_input_types(Batch)
@beam.typehints.with_output_types(RunStatistics)
class GatherStatistics(DoFn):
    """The statistics of each bundle of finished batches, in the global window.

    Args:
      watched: columns to make statistics of.
      models: this process's models.
      clock_us: tells the time, microseconds since 1970.
    """

    def __init__(
        self,
        watched: WatchedColumns,
        models: ManagerHandle,
        clock_us: Callable[[], int] = _now_us,
    ) -> None:
        self._watched = watched
        self._models = models
        self._clock_us = clock_us

    def setup(self) -> None:
        """Nothing is known yet."""
        self._loaded: dict[Release, frozenset[LoadedModel]] = {}
        # What was merged so far needed these; so what comes next cannot do with less in the end.
        self._shifts: dict[str, int] = {}

    def start_bundle(self) -> None:
        """Begins the bundle's statistics."""
        self._began_us = self._clock_us()
        self._parts: list[RunStatistics] = []
        self._releases: set[Release] = set()

    def process(self, batch: Batch) -> None:
        """Adds one finished batch."""
        now_us = self._clock_us()
        part = run_statistics.from_batch(batch, self._watched, now_us, self._shifts)
        for name, column in part.columns.items():
            self._shifts[name] = max(self._shifts.get(name, 0), column.values.shift)
        self._parts.append(part)
        self._releases.update(part.releases.each)
        if len(self._parts) >= _MANY:
            self._parts = [run_statistics.merged(self._parts)]

    @property
    def waiting(self) -> int:
        """How many parts of the bundle wait to be merged."""
        return len(self._parts)

    def finish_bundle(self) -> Iterator[Any]:
        """Emits the bundle's statistics."""
        if self._parts:
            total = dataclasses.replace(
                run_statistics.merged(self._parts),
                began_us=self._began_us,
                models=frozenset().union(*map(self._loaded_by, self._releases)),
            )
            yield GlobalWindows.windowed_value(total)

    def _loaded_by(self, release: Release) -> frozenset[LoadedModel]:
        """The models of a release as this process has them; not those that it unloaded already."""
        found = self._loaded.get(release, frozenset())
        if len(found) < len(release.versions):
            found |= {
                LoadedModel(version, servable.device, servable.size_bytes)
                for version, servable in self._models.get().in_memory(release)
            }
            # Few releases are ever in use at once, and a stream sees thousands.
            kept = list(self._loaded.items())[-_FEW:]
            self._loaded = {**dict(kept), release: found}
        return found


class MergeStatistics(CombineFn):
    """Any number of statistics into one; without any, those of no records."""

    def get_accumulator_coder(self) -> Any:
        """A runner keeps accumulators between bundles."""
        return ListCoder(FormCoder(RunStatistics))

    def create_accumulator(self) -> list[RunStatistics]:
        """Parts that are to be merged."""
        return []

    def add_input(
        self, accumulator: list[RunStatistics], element: RunStatistics
    ) -> list[RunStatistics]:
        """Adds one part."""
        accumulator.append(element)
        return accumulator if len(accumulator) < _MANY else self.compact(accumulator)

    def merge_accumulators(
        self, accumulators: Iterable[list[RunStatistics]]
    ) -> list[RunStatistics]:
        """Merges what was accumulated in several places."""
        together: list[RunStatistics] = []
        for parts in accumulators:
            together += parts
            if len(together) >= _MANY:
                together = self.compact(together)
        return together

    def compact(self, accumulator: list[RunStatistics]) -> list[RunStatistics]:
        """Makes it small, before it travels."""
        return [run_statistics.merged(accumulator)] if accumulator else []

    def extract_output(self, accumulator: list[RunStatistics]) -> RunStatistics:
        """The statistics of all."""
        return run_statistics.merged(accumulator)


class KeepStatistics(DoFn):
    """Adds statistics to those of this process, for runners whose steps all run in it.

    Args:
      job_key: whose statistics.
    """

    def __init__(self, job_key: str) -> None:
        self._job_key = job_key

    def process(self, statistics: RunStatistics) -> None:
        """Adds one part."""
        process_statistics(self._job_key).add(statistics)

"""AssignRelease: stamps a batch with the release that this process has ready."""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam

from pipeline.batch.batch import Batch
from pipeline.batch.release import Release
from pipeline.runner.beam_types import DoFn
from pipeline.serving.release_manager import ManagerHandle


@beam.typehints.with_input_types(Batch)
@beam.typehints.with_output_types(Batch)
class AssignPinnedRelease(DoFn):
    """Stamps every batch with one release, fixed when the job is launched.

    The whole release travels with the batch, not its number, so that a worker which never heard of
    it can load it by URI. The first batch of a process waits until the release is loaded.

    Args:
      handle: this process's models.
      release: what serves the whole job.
    """

    def __init__(self, handle: ManagerHandle, release: Release) -> None:
        self._handle = handle
        self._release = release

    def setup(self) -> None:
        """Finds the process's manager."""
        self._manager = self._handle.get()

    def process(self, batch: Batch) -> Iterator[Batch]:
        """Stamps one batch."""
        self._manager.ensure(self._release)
        yield batch.with_release(self._release)

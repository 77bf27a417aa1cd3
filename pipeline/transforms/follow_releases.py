"""AssignRelease in a stream: each batch is served by what is active in its process just then."""

# No postponed annotations here: Beam reads that of the side input, and takes only a type.

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.batch.batch import Batch
from pipeline.batch.metrics import NAMESPACE, RELEASE_LAG_MS
from pipeline.batch.release import Release
from pipeline.releases.candidate import ReleaseEvent
from pipeline.runner.beam_types import DoFn
from pipeline.serving.release_manager import ManagerHandle
from pipeline.transforms.gate import EVENTS, activation_events


@beam.typehints.with_input_types(Batch)
class AssignActiveRelease(DoFn):
    """Stamps a batch with the release that is active in this process when the batch comes.

    Releases that arrive as a side input are aspired to, without waiting for them. What this process
    made of them comes out on EVENTS.

    Args:
      handle: this process's models.
      initial: for a process that is told of no other release first; its first batch waits for it.
    """

    def __init__(self, handle: ManagerHandle, initial: Release) -> None:
        self._handle = handle
        self._initial = initial

    def setup(self) -> None:
        """Finds the process's manager."""
        self._manager = self._handle.get()

    def process(self, batch: Batch, releases: Iterable[Release] = ()) -> Iterator[Any]:
        """Stamps one batch.

        Args:
          batch: the batch.
          releases: the side input. Of several in one pane the newest counts.
        """
        newest = max((*releases, self._initial), key=lambda release: release.generation)
        self._manager.aspire(newest)
        yield batch.with_release(self._manager.wait_active(newest))
        lag_ms = int(1000 * self._manager.lag_secs())
        Metrics.distribution(NAMESPACE, RELEASE_LAG_MS).update(lag_ms)
        for event in self._events():
            yield beam.pvalue.TaggedOutput(EVENTS, event)

    def _events(self) -> Iterable[ReleaseEvent]:
        return activation_events(self._manager)

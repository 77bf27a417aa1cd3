"""Where a job runs, as far as its sources and sinks have to know.

An engine is a class, not a flag: another one (a portable runner with our own sources and sinks) is
one more class. The classes are in `jobs/engines`, which knows the connectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pipeline.runner.beam_types import PTransform
from pipeline.runner.stopping import stopped as process_stopped


class Engine(Protocol):
    """How records come into a job, and where its results go out, on one kind of runner.

    Each method chooses a transform that keeps the promise "at least once" there.
    """

    @property
    def file_secs(self) -> int:
        """How long a file of a stream waits for more lines, unless the user says it."""

    def read_messages(
        self,
        *,
        subscription: str | None = None,
        topic: str | None = None,
        block_rows: int,
        patience_secs: float = 0.0,
        stopped: Callable[[], bool] = process_stopped,
        settled: Callable[[], bool] | None = None,
        required: bool = True,
        id_label: str = "",
        timestamp_attribute: str = "",
    ) -> PTransform:
        """Start of the pipeline -> PCollection[Block], of Pub/Sub.

        Args:
          subscription: ``projects/P/subscriptions/S``; or
          topic: ``projects/P/topics/T``, read from the start of the job on.
          block_rows: most messages in a block.
          patience_secs: longest time for which a message waits for others, where any waits.
          stopped: whether the job was asked to stop; travels with the source. Of no use where the
            service itself reads.
          settled: whether all that messages caused so far is done, in the process of the source:
            until then they are not acknowledged. Of no use where the runner keeps what they caused.
          required: whether the job fails when the subscription or its topic is gone; if not, it
            says so and goes on. Of no use where the service itself reads.
          id_label: attribute that identifies a message; given only where the service itself reads.
          timestamp_attribute: attribute with a message's event time; likewise.
        """

    def read_files(
        self,
        pipeline: Any,
        pattern: str,
        reading: Any,
        output_path: str,
        stopped: Callable[[], bool] = process_stopped,
    ) -> Any:
        """Add steps that read files as they appear: PCollection[Block].

        Args:
          pipeline: has no such steps yet.
          pattern: of the files, local or ``gs://``.
          reading: how to read one, see `formats.format.Reading`.
          output_path: where the results go, empty if not to files; a journal may stand beside it.
          stopped: see `read_messages`.
        """

    def write_lines(self, prefix: str, roll_secs: float) -> PTransform:
        """PCollection of chunks of JSON lines -> files that appear whole.

        Args:
          prefix: path up to the time, local or ``gs://``.
          roll_secs: longest time for which a line waits for others.
        """

    def publish(self, topic: str) -> PTransform:
        """PCollection[tuple[Message, ...]] -> messages of ``projects/P/topics/T``."""

    def insert(self, table: Any, to_rows: Callable[[bytes], list[dict[str, Any]]]) -> PTransform:
        """PCollection of chunks of JSON lines -> rows of a table -> dead letters, a line each.

        Args:
          table: exists, see `connectors.bigquery.names.TableName`.
          to_rows: makes rows of a chunk.
        """

    def write_page(self, statistics: Sequence[Any], job: Any, options: Any) -> None:
        """Add the steps between a stream's statistics and its report page.

        Args:
          statistics: PCollections of RunStatistics.
          job: has a `report_path`, see `launch.job.Job`.
          options: Beam's, of the job.
        """

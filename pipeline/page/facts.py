"""What a page tells of a run besides its statistics."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.core.drawing import Drawing
from pipeline.core.graph import Graph
from pipeline.core.release import Release


@dataclass(frozen=True)
class RunFacts:
    """Known when a job is built; travels to where the page is written.

    Attributes:
      graph: the ensemble.
      drawing: the picture of it.
      release: what served at first.
      started: when the job was built, aware, UTC.
      streaming: whether it is a stream.
      on_service: whether it runs elsewhere, not in the process that launched it.
      given: parameters with another value than their default: name and value.
      defaults: all others.
    """

    graph: Graph
    drawing: Drawing
    release: Release
    started: datetime
    streaming: bool
    on_service: bool
    given: tuple[tuple[str, str], ...]
    defaults: tuple[tuple[str, str], ...]

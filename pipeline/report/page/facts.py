"""The facts about a run that a page shows besides its statistics."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.batch.release import Release
from pipeline.drawing.drawing import Drawing
from pipeline.spec.graph import Graph


@dataclass(frozen=True)
class RunFacts:
    """Facts that are known when a job is built; they travel to where the page is written.

    Attributes:
      graph: the ensemble.
      drawing: the picture of it.
      release: the release that served first.
      started: when the job was built, aware, UTC.
      streaming: whether it is a stream.
      on_service: whether it runs elsewhere, not in the process that launched it.
      given: the parameters with another value than their default: name and value.
      defaults: all other parameters.
    """

    graph: Graph
    drawing: Drawing
    release: Release
    started: datetime
    streaming: bool
    on_service: bool
    given: tuple[tuple[str, str], ...]
    defaults: tuple[tuple[str, str], ...]

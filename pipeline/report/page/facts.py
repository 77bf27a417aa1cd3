"""The facts about a run that a page shows besides its statistics."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.batch.release import Release
from pipeline.drawing.drawing import Drawing
from pipeline.spec.graph import Graph


@dataclass(frozen=True)
class EngineNotes:
    """What the page of a stream says of the engine that it runs on.

    Attributes:
      page_interval: how often the page is written anew, as an adverb.
      release_change: a sentence on how processes change to a release, with a space behind it; empty
        where there is one process.
    """

    page_interval: str
    release_change: str


@dataclass(frozen=True)
class RunFacts:
    """Facts that are known when a job is built; they travel to where the page is written.

    Attributes:
      graph: the ensemble.
      drawing: the picture of it.
      release: the release that served first.
      started: when the job was built, aware, UTC.
      streaming: whether it is a stream.
      engine: what the page says of the engine, if it is a stream.
      given: the parameters with another value than their default: name and value.
      defaults: all other parameters.
    """

    graph: Graph
    drawing: Drawing
    release: Release
    started: datetime
    streaming: bool
    engine: EngineNotes
    given: tuple[tuple[str, str], ...]
    defaults: tuple[tuple[str, str], ...]

"""What a trial process is given, and what it answers.

The request is a pickle: it comes from the process that starts the trial. The answer is none, for
whatever runs in a model's native code may have written it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipeline.batch.columns import Column
from pipeline.batch.release import ModelVersion, Release
from pipeline.batch.tensors import Shape
from pipeline.serving.opening import Opening
from pipeline.serving.rehearsal import golden
from pipeline.serving.rehearsal.rehearsal import ModelFacts, Rehearsal
from pipeline.spec.graph import Graph

REQUEST, ANSWER, PROGRESS, OUTPUT = "request", "answer", "progress", "output"
"""The files of a trial, all in one folder."""


@dataclass(frozen=True)
class TrialRequest:
    """What is to be tried.

    Attributes:
      graph: the ensemble.
      release: of which some models are tried.
      openings: those models' files.
      uris: where copies of them come from, to be named in errors in place of the copies.
      call_rows, records, in_company: see Comparison.
      examples: those that come with the versions that are tried.
      given: the columns that the other models gave.
    """

    graph: Graph
    release: Release
    openings: Mapping[ModelVersion, Opening]
    uris: Mapping[ModelVersion, str]
    call_rows: int
    records: Mapping[str, Column]
    examples: Mapping[ModelVersion, Sequence[golden.Example]]
    given: Mapping[str, Column]


@dataclass(frozen=True)
class TrialAnswer:
    """What was learnt.

    Attributes:
      models, types, columns, made_up: see Rehearsal.
      not_compared: its `unknown`.
      problems: see `rehearsal.attempt`; those with examples follow.
      not_loaded: the models that could not be loaded.
    """

    models: Mapping[str, ModelFacts]
    types: Mapping[str, tuple[str, Shape]]
    columns: Mapping[str, Column]
    not_compared: tuple[str, ...]
    made_up: bool
    problems: tuple[str, ...]
    not_loaded: tuple[str, ...] = ()

    wire_form: ClassVar[str] = "trial/1"

    @classmethod
    def of(
        cls, rehearsal: Rehearsal, problems: Sequence[str], not_loaded: Sequence[str]
    ) -> TrialAnswer:
        """The answer that tells of a rehearsal."""
        return cls(
            rehearsal.models,
            rehearsal.types,
            rehearsal.columns,
            tuple(rehearsal.unknown),
            rehearsal.made_up,
            tuple(problems),
            tuple(not_loaded),
        )

    @property
    def rehearsal(self) -> Rehearsal:
        """The rehearsal that it tells of."""
        return Rehearsal(
            models=dict(self.models),
            types=dict(self.types),
            columns=dict(self.columns),
            unknown=list(self.not_compared),
            made_up=self.made_up,
        )

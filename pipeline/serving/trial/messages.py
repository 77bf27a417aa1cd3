"""The trial of a release: what its process is given, does and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline.backends.base import Servable
from pipeline.batch.columns import BatchColumn
from pipeline.batch.release import ModelVersion, Release
from pipeline.batch.tensors import Shape
from pipeline.errors import EnsembleError, LoadError, ModelError
from pipeline.serving.opening import Opening, told_by_uri
from pipeline.serving.rehearsal import golden
from pipeline.serving.rehearsal.rehearsal import Comparison, ModelFacts, Rehearsal, attempt, fed
from pipeline.serving.release_manager import ReleaseManager
from pipeline.serving.trial.apart import Tell
from pipeline.spec.graph import Graph


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
      runs: see Comparison; without it no example is checked either.
    """

    graph: Graph
    release: Release
    openings: Mapping[ModelVersion, Opening]
    uris: Mapping[ModelVersion, str]
    call_rows: int
    records: Mapping[str, BatchColumn] = field(default_factory=dict)
    examples: Mapping[ModelVersion, Sequence[golden.Example]] = field(default_factory=dict)
    given: Mapping[str, BatchColumn] = field(default_factory=dict)
    runs: bool = True

    @property
    def frameworks(self) -> list[str]:
        """See Task."""
        return [opening.spec.framework for opening in self.openings.values()]

    @property
    def on_cpu(self) -> bool:
        """See Task."""
        return all(opening.context.device == "cpu" for opening in self.openings.values())

    def answer(self, tell: Tell) -> TrialAnswer:
        """Loads, rehearses and checks the versions that are tried."""
        not_loaded = []

        def load(version: ModelVersion) -> Servable:
            found = self.openings.get(version)
            if found is None:
                raise LoadError("is not tried, and what it gives is not known")
            tell(model=version.model)
            try:
                with told_by_uri(found.path, self.uris.get(version)):
                    return found()
            except EnsembleError:
                not_loaded.append(version.model)
                raise

        manager = ReleaseManager(load)
        comparison = Comparison(
            self.call_rows,
            self.records,
            lambda version: self.examples.get(version, ()),
            given=self.given,
            runs=self.runs,
        )
        rehearsal, problems = attempt(
            self.graph, self.release, manager, lambda text: tell(say=text), comparison
        )
        if not problems and self.runs:
            problems = self._example_problems(rehearsal, manager, tell)
        return TrialAnswer.of(rehearsal, problems, not_loaded)

    def _example_problems(
        self, rehearsal: Rehearsal, manager: ReleaseManager, tell: Tell
    ) -> list[str]:
        problems = []
        for version, examples in self.examples.items():
            spec = self.graph.spec.model(version.model)
            tell(model=spec.name)
            try:
                with manager.use(self.release, spec.name) as servable:
                    golden.check(examples, spec, servable, fed(spec, rehearsal))
            except ModelError as error:
                problems.append(f"model '{spec.name}' at {version.uri}: {error}")
        return problems


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
    columns: Mapping[str, BatchColumn]
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

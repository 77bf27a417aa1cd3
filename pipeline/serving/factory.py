"""How a process of a job makes its ReleaseManager: everything it needs, in one value to pickle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from pipeline.batch.columns import BatchColumn
from pipeline.batch.release import ModelVersion, Release
from pipeline.serving.activation import Timing
from pipeline.serving.files.artifacts import ArtifactStore
from pipeline.serving.files.kept_copies import KeptCopies
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.rehearsal import golden
from pipeline.serving.rehearsal.example_files import examples_of
from pipeline.serving.rehearsal.rehearsal import Comparison, fed, rehearse
from pipeline.serving.release_manager import MemoryPolicy, ReleaseManager
from pipeline.spec.graph import Graph


@dataclass(frozen=True)
class ManagerFactory:
    """Makes managers that rehearse a release through the whole graph before it serves.

    Attributes:
      graph: the ensemble.
      loader: loads the versions of its models.
      memory_policy: see ReleaseManager.
      timing: see ReleaseManager.
      records: see Comparison. A few rows, for they are pickled with each step of the job.
      store: reads examples beside models; None where whoever accepted a release has checked those,
        and compared its rows in other company.
    """

    graph: Graph
    loader: FrameworkLoader
    memory_policy: MemoryPolicy = "availability"
    timing: Timing | None = None
    records: Mapping[str, BatchColumn] = field(default_factory=dict, compare=False, repr=False)
    store: ArtifactStore | None = None

    def __call__(self) -> ReleaseManager:
        """A new manager."""
        self.loader.start_frameworks()
        copies = KeptCopies(self.loader.cache)
        return ReleaseManager(
            lambda version: self.loader.open(version, copies.fetch),
            prepare=self._rehearse,
            copies=copies,
            memory_policy=self.memory_policy,
            timing=self.timing,
        )

    def _rehearse(self, release: Release, manager: ReleaseManager) -> None:
        if self.store is None:
            trial = Comparison(self.loader.call_rows, self.records, in_company=False)
            rehearse(self.graph, release, manager, comparison=trial)
            return
        examples = partial(self._examples, manager)
        trial = Comparison(self.loader.call_rows, self.records, examples)
        rehearsal = rehearse(self.graph, release, manager, comparison=trial)
        for version in release.versions:
            spec = self.graph.spec.model(version.model)
            with manager.use(release, spec.name) as servable:
                golden.check(examples(version), spec, servable, fed(spec, rehearsal))

    def _examples(self, manager: ReleaseManager, version: ModelVersion) -> Sequence[golden.Example]:
        files = manager.files_of(version)
        if self.store is None or files is None:
            return ()
        return examples_of(self.store, version.uri, files, self.graph.spec.model(version.model))

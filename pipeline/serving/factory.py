"""How a process of a job makes its ReleaseManager: everything it needs, in one value to pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.batch.columns import BatchColumn
from pipeline.batch.release import Release
from pipeline.serving.activation import Timing
from pipeline.serving.files.kept_copies import KeptCopies
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.rehearsal.rehearsal import Comparison, rehearse
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
    """

    graph: Graph
    loader: FrameworkLoader
    memory_policy: MemoryPolicy = "availability"
    timing: Timing | None = None
    records: Mapping[str, BatchColumn] = field(default_factory=dict, compare=False, repr=False)

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
        # Whoever accepted the release compared its rows in other company.
        trial = Comparison(self.loader.call_rows, self.records, in_company=False)
        rehearse(self.graph, release, manager, comparison=trial)

"""Releases of one model whose file says what it does to the process that loads or calls it."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.releases.allowed_uris import AllowedUris
from pipeline.releases.candidate import Candidate
from pipeline.releases.checks import GateChecks
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.trial.apart import TrialLimits
from pipeline.serving.trial.trials import Trials
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import Graph, resolve

MODEL = "net"


class Harm:
    """Files of versions, and what tries them. All lies below `folder`."""

    def __init__(self, folder: Path, cpu_secs: int = 60, memory_mb: int = 0) -> None:
        self.folder = folder
        entry = {
            "name": MODEL,
            "framework": "python",
            "uri": "tests.support.steps:Deadly",
            "path": str(self.put(1, "good 1")),
            "inputs": {"x": "x"},
            "outputs": {"y": "y"},
        }
        record = {"fields": {"x": {"dtype": "float32", "shape": [4]}}}
        spec = {"name": "e", "record": record, "models": [entry]}
        self.graph: Graph = resolve(EnsembleSpec.model_validate(spec))
        self.store = BeamArtifactStore()
        self.cache = ArtifactCache(folder / "cache", self.store)
        self.loader = FrameworkLoader(self.graph.models, self.cache, "cpu", intra_op_threads=1)
        self.trials = Trials(self.graph, self.loader, limits=TrialLimits(cpu_secs, memory_mb))
        self.checks = GateChecks(
            self.graph,
            self.cache,
            self.store,
            AllowedUris((str(folder / "net"),)),
            trials=self.trials,
        )

    def uri(self, number: int) -> str:
        return str(self.folder / "net" / str(number))

    def put(self, number: int, what: str) -> Path:
        """Writes a version: "good 2", "load SIGSEGV", "call loop"..."""
        path = Path(self.uri(number))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(what)
        return path

    def candidate(self, number: int, what: str) -> Candidate:
        self.put(number, what)
        return Candidate(f"candidate {number}", "test", number, models={MODEL: self.uri(number)})


def trial_processes() -> list[int]:
    """The trial processes that this process started and that still run."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    children = [int(pid) for task in tasks for pid in task.read_text().split()]
    return [pid for pid in children if b"pipeline.serving.trial" in _command_line(pid)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""

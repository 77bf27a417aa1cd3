"""Processes that share models: each does what its test asks, one thing at a time."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pipeline.backends.base import Servable
from pipeline.batch.columns import Array, Column
from pipeline.batch.release import ModelVersion
from pipeline.batch.tensors import Signature
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.connectors.vm_sharing import VmSharing
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.files.local_files import digest_of
from pipeline.serving.loader import FrameworkLoader
from pipeline.spec.model import ModelSpec
from tests.support.specs import model_spec

Servables = dict[ModelVersion, Servable]


LOOK_SECS = 0.05


class Client:
    """A process of a machine. The first that loads a shared model starts the host, its child."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,))
        self.process.start()
        theirs.close()

    def begin(self, function: Callable[..., Any] | None, *args: Any) -> None:
        """Has `function(servables, *args)` called there; `servables` is a dict that stays."""
        self._connection.send((function, args))

    def end(self) -> Any:
        """What it returned; raises what it raised."""
        outcome = self._connection.recv()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def ask(self, function: Callable[..., Any], *args: Any) -> Any:
        self.begin(function, *args)
        return self.end()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def stop(self) -> None:
        if self.process.is_alive():
            self.begin(None)
        self.process.join()


def _serve(connection: Connection) -> None:
    servables: Servables = {}
    while True:
        function, args = connection.recv()
        if function is None:
            os._exit(0)  # multiprocessing would wait for the host, which ends after its parent
        try:
            outcome = function(servables, *args)
        except Exception as error:
            outcome = error
        connection.send(outcome)


def open_model(servables: Servables, loader: FrameworkLoader, version: ModelVersion) -> Signature:
    servables[version] = loader(version)
    return servables[version].signature


def predict(
    servables: Servables, version: ModelVersion, inputs: Mapping[str, Array]
) -> Mapping[str, Column]:
    return servables[version].predict(inputs)


def close_model(servables: Servables, version: ModelVersion) -> None:
    servables.pop(version).close()


def close_all(servables: Servables) -> None:
    while servables:
        servables.popitem()[1].close()


def has_imported(servables: Servables, module: str) -> bool:
    return module in sys.modules


def watched_spec(**changes: Any) -> ModelSpec:
    entry = {"framework": "python", "uri": "tests.support.steps:Watched", "path": "models/1"}
    binding = {"inputs": {"x": "x"}, "outputs": {"y": "y"}}
    return model_spec(**{**entry, **binding, "model_sharing": "vm", **changes})


def loader_of(spec: ModelSpec, folder: Path, job_key: str, **settings: Any) -> FrameworkLoader:
    sharing = VmSharing(job_key, LOOK_SECS)
    return FrameworkLoader(
        (spec,),
        ArtifactCache(folder / "cache", BeamArtifactStore()),
        "cpu",
        1,
        sharing=sharing,
        **settings,
    )


def version_of(spec: ModelSpec, path: Path) -> ModelVersion:
    return ModelVersion(spec.name, str(path), digest_of(path))


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

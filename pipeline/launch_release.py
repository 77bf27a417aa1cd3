"""The release that a job starts with, and what it needs to come to others."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core.allowed_uris import AllowedUris
from pipeline.core.gate_state import Accepted, GateState
from pipeline.core.graph import Graph
from pipeline.core.model_spec import is_class_uri
from pipeline.core.version_order import WatchTarget, watch_targets
from pipeline.errors import ArtifactError, ModelError
from pipeline.refresh.watcher import Lister, WatcherHandle
from pipeline.serving.artifacts import ArtifactStore
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.gate import GateFactory, GateHandle
from pipeline.serving.judge import Judge
from pipeline.serving.release_manager import ManagerHandle
from pipeline.serving.release_store import ReleaseStore
from pipeline.serving.verification import Verifier
from pipeline.settings import Settings


@dataclass(frozen=True)
class Refresh:
    """What refreshes the models of a job.

    Attributes:
      watcher: where each process finds new versions.
      gate: the gate of a local process.
      judge, managers, state: of the gate of a service.
    """

    watcher: WatcherHandle
    gate: GateHandle
    judge: Judge
    managers: ManagerFactory
    state: GateState


def accepted_before(release_dir: str, graph: Graph, store: ArtifactStore) -> list[Accepted]:
    """What earlier runs of the job accepted, oldest first; without a folder, nothing.

    Raises:
      ModelError: the folder cannot be read.
    """
    if not release_dir:
        return []
    names = sorted(model.name for model in graph.models)
    try:
        history = ReleaseStore(release_dir, store).load_history()
    except ArtifactError as error:
        raise ModelError(f"--release_dir: {error}") from error
    return [a for a in history if [v.model for v in a.release.versions] == names]


def refresh_of(
    settings: Settings,
    verifier: Verifier,
    state: GateState,
    targets: tuple[WatchTarget, ...],
    lister: Lister,
    manager: ManagerHandle,
    managers: ManagerFactory,
) -> Refresh | None:
    """What refreshes the models, None where nothing does.

    Raises:
      ModelError: watch mode, and there is nothing to watch.
    """
    if settings.refresh_mode == "off":
        return None
    if settings.watches and not targets:
        raise ModelError(
            f"--refresh_mode={settings.refresh_mode}: nothing to watch; give a model the key "
            "`watch` in the ensemble file, or give --release_pattern"
        )
    folder = settings.release_dir
    judge = Judge(verifier, ReleaseStore(folder, verifier.store) if folder else None)
    watcher = WatcherHandle(
        manager.job_key,
        targets,
        lister,
        interval_secs=settings.watch_interval_secs,
        periodic=settings.watches,
    )
    gate = GateHandle(manager.job_key, GateFactory(judge, manager, state))
    return Refresh(watcher, gate, judge, managers, state)


def allowed_uris(graph: Graph, named: str = "") -> AllowedUris:
    """Where models may be refreshed from.

    Args:
      graph: the ensemble; its own folders count where none are named.
      named: folders, separated by commas.
    """
    if folders := [folder.strip() for folder in named.split(",") if folder.strip()]:
        return AllowedUris(tuple(folders))
    return AllowedUris.beside(
        [m.artifact_uri for m in graph.models if not is_class_uri(m.artifact_uri)],
        [target.pattern for target in watch_targets(graph.models)],
    )

"""The release that a job starts with, and what it needs to come to others."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import ArtifactError, ModelError
from pipeline.launch.patterns import Say
from pipeline.launch.settings import RefreshSettings
from pipeline.launch.versions import Beginning
from pipeline.releases.allowed_uris import AllowedUris
from pipeline.releases.checks import GateChecks
from pipeline.releases.follower import FollowerFactory, FollowerHandle
from pipeline.releases.gate import Gate
from pipeline.releases.log import LogStorage, Look, ReleaseLog
from pipeline.releases.orders.proposals import Orders, ProposalFolder
from pipeline.releases.queue import CandidateQueueFactory, CandidateQueueHandle
from pipeline.releases.state import GateState
from pipeline.releases.versions import WatchTarget, watch_targets
from pipeline.releases.watcher import Lister, WatcherHandle
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.release_manager import ManagerHandle
from pipeline.spec.graph import Graph
from pipeline.spec.uris import is_class_uri
from pipeline.spec.version_pattern import literal_prefix


@dataclass(frozen=True)
class Refresh:
    """What refreshes the models of a job.

    Attributes:
      watcher: where each process finds new versions.
      queue: the candidates of a local process.
      gate: comes to the verdicts of a service.
      managers, state: what the gate of a service starts with.
      follower: where each process follows the release log; None where all of the job is in one
        process that has a log to itself.
    """

    watcher: WatcherHandle
    queue: CandidateQueueHandle
    gate: Gate
    managers: ManagerFactory
    state: GateState
    follower: FollowerHandle | None = None

    def close(self) -> None:
        """Frees what it holds in this process."""
        self.queue.close()
        if self.follower is not None:
            self.follower.close()


def accepted_before(release_dir: str, graph: Graph, files: LogStorage) -> Look:
    """What earlier runs of the job accepted; without a folder, nothing.

    Raises:
      ModelError: the folder cannot be read.
    """
    if not release_dir:
        return Look((), 0)
    names = sorted(model.name for model in graph.models)
    try:
        return ReleaseLog(release_dir, files).look(0, names)
    except ArtifactError as error:
        raise ModelError(f"--release_dir: {error}") from error


def begin_log(log: ReleaseLog, beginning: Beginning, before: Look, say: Say) -> None:
    """Appends the release that a job starts with, if the log does not have it.

    Args:
      log: of the job.
      beginning: what it starts with.
      before: what the log has.
      say: told what was appended.

    Raises:
      ModelError: it cannot be appended.
    """
    first = beginning.state.history[-1]
    if before.appended and before.appended[-1].release == first.release:
        return
    try:
        appended = log.append(first)
    except ArtifactError as error:
        raise ModelError(f"--release_dir: {error}") from error
    if not appended:
        raise ModelError(
            f"--release_dir: another job appended {log.uri_of(first.release.generation)} at this "
            "moment; launch again to start with it"
        )
    if before.position:  # else nobody follows it yet
        say(
            f"release generation {first.release.generation} is in {log.folder}: every job with the "
            "same models that follows this folder serves it"
        )


def refresh_of(
    settings: RefreshSettings,
    checks: GateChecks,
    state: GateState,
    targets: tuple[WatchTarget, ...],
    lister: Lister,
    log: ReleaseLog,
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
    gate = Gate(checks, log)
    watcher = WatcherHandle(
        manager.job_key,
        targets,
        lister,
        gate.has_verdict,
        interval_secs=settings.watch_interval_secs,
        periodic=settings.watches,
        orders=_orders(settings, log, state),
    )
    queue = CandidateQueueHandle(manager.job_key, CandidateQueueFactory(gate, manager, state))
    follower = None
    if settings.release_dir:
        make = FollowerFactory(
            log.for_polling(),
            manager,
            state.current,
            settings.release_poll_secs,
            checks.release_problems,
        )
        follower = FollowerHandle(manager.job_key, make)
    return Refresh(watcher, queue, gate, managers, state, follower)


def _orders(settings: RefreshSettings, log: ReleaseLog, state: GateState) -> Orders | None:
    """Where people propose releases; nobody finds the log that a job has to itself."""
    if not settings.release_dir:
        return None
    models = tuple(version.model for version in state.current.versions)
    polled = log.for_polling()
    folder = ProposalFolder(polled.folder, polled.storage, models)
    return Orders(folder, settings.release_poll_secs)


def allowed_manifests(settings: RefreshSettings) -> AllowedUris:
    """Where manifests may lie that somebody names."""
    named = _folders(settings.allowed_manifest_uris)
    if not named:
        pattern = settings.release_pattern
        folder = literal_prefix(pattern).rpartition("/")[0] if pattern else ""
        named = tuple(place for place in (folder, settings.release_dir) if place)
    return AllowedUris(named, "manifests", "--allowed_manifest_uris")


def _folders(text: str) -> tuple[str, ...]:
    return tuple(folder.strip() for folder in text.split(",") if folder.strip())


def allowed_uris(graph: Graph, named: str = "") -> AllowedUris:
    """Where models may be refreshed from.

    Args:
      graph: the ensemble; its own folders count where none are named.
      named: folders, separated by commas.
    """
    if folders := _folders(named):
        return AllowedUris(folders)
    return AllowedUris.beside(
        [m.artifact_uri for m in graph.models if not is_class_uri(m.artifact_uri)],
        [target.pattern for target in watch_targets(graph.models)],
    )

"""The release that a job starts with, and what it needs to come to others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipeline.errors import ArtifactError, ModelError, PathError
from pipeline.launch.patterns import Pattern, Say
from pipeline.launch.placement import Placement
from pipeline.launch.settings import RefreshSettings, Settings
from pipeline.launch.versions import Beginner, Beginning
from pipeline.releases.allowed_uris import AllowedUris
from pipeline.releases.checks import GateChecks
from pipeline.releases.follower import FollowerFactory, FollowerHandle
from pipeline.releases.gate import Gate, utc_now
from pipeline.releases.launch_marks import LaunchMarks
from pipeline.releases.log import LogStorage, Look, ReleaseLog
from pipeline.releases.orders.jobs import JobEntry, JobFolder, new_job_id
from pipeline.releases.orders.proposals import Orders, ProposalFolder
from pipeline.releases.orders.stop_watcher import StopHandle, StopWatcherFactory
from pipeline.releases.queue import CandidateQueueFactory, CandidateQueueHandle
from pipeline.releases.state import Accepted, GateState
from pipeline.releases.versions import watch_targets
from pipeline.releases.watcher import Lister, WatcherHandle
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.files.artifacts import ArtifactStore
from pipeline.serving.release_manager import ManagerHandle
from pipeline.spec.graph import Graph
from pipeline.spec.uris import is_class_uri, plain_paths
from pipeline.spec.version_pattern import literal_prefix


@dataclass(frozen=True)
class Refresh:
    """What refreshes the models of a job.

    Attributes:
      watcher: where each process finds new versions.
      queue: the candidates of a local process.
      gate: comes to the verdicts of a service.
      managers, state: what the gate of a service starts with.
    """

    watcher: WatcherHandle
    queue: CandidateQueueHandle
    gate: Gate
    managers: ManagerFactory
    state: GateState

    def close(self) -> None:
        """Frees what it holds in this process."""
        self.queue.close()


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


def marks_of(
    settings: RefreshSettings, store: ArtifactStore, *, dry_run: bool
) -> LaunchMarks | None:
    """What notes that a launch is about to load a release; None where nothing may be written."""
    if not settings.release_dir or dry_run or settings.follows:
        return None
    return LaunchMarks(settings.release_dir, store)


def begin_following(
    beginner: Beginner, before: Look, recall: Callable[[int], Accepted | None]
) -> Beginning:
    """What a job without a gate starts with: the newest release of the log that it can serve.

    Where that is not the last one, it is what a rollback from there returns to, and so on: never
    one that was rolled back from.

    Args:
      beginner: knows no patterns.
      before: what the release log has. Where that is nothing, the ensemble file decides, under
        generation 0, so that the first release of the log follows it.
      recall: gives the release of a generation, of any ensemble; None if there is none.

    Raises:
      ModelError: there is none, or this machine cannot try any now; says why.
    """
    say = beginner.say
    if not before.appended:
        say(
            "--release_dir has no release of these models yet: that of the ensemble file serves "
            "until there is one"
        )
        return beginner.begin(Look((), -1))
    problems: list[str] = []
    accepted: Accepted | None = before.appended[-1]
    while accepted is not None:
        generation = accepted.release.generation
        try:
            found = beginner.resume(accepted.release, before)
            before_that = _returned_to(accepted, recall) if isinstance(found, list) else None
        except ArtifactError as error:  # nothing is passed over for that
            raise ModelError(str(error)) from error
        if isinstance(found, Beginning):
            say(f"following the releases of another job, from generation {generation} on")
            return found
        problems.append(f"generation {generation} cannot be served here: {'; '.join(found)}")
        say(problems[-1])
        accepted = before_that
    raise ModelError(
        [
            "--release_dir: this job can serve neither the last release there nor what it was "
            "accepted upon; releases that were rolled back from are not taken",
            *problems,
        ]
    )


def _returned_to(accepted: Accepted, recall: Callable[[int], Accepted | None]) -> Accepted | None:
    """The release that a rollback from another one returns to; None if there is none."""
    generation = accepted.returns_to
    if generation is None or generation >= accepted.release.generation:
        return None
    found = recall(generation)
    models = {version.model for version in accepted.release.versions}
    same = found is not None and {version.model for version in found.release.versions} == models
    return found if same else None


def refresh_of(
    settings: RefreshSettings,
    checks: GateChecks,
    beginning: Beginning,
    patterns: Sequence[Pattern],
    lister: Lister,
    log: ReleaseLog,
    manager: ManagerHandle,
    managers: ManagerFactory,
) -> Refresh | None:
    """What finds and judges new releases, None where nothing does.

    Raises:
      ModelError: watch mode, and there is nothing to watch.
    """
    if not (settings.watches or settings.listens):
        return None
    targets = tuple(pattern.target for pattern in patterns)
    if settings.watches and not targets:
        raise ModelError(
            f"--refresh_mode={settings.refresh_mode}: nothing to watch; give a model the key "
            "`watch` in the ensemble file, or give --release_pattern"
        )
    gate, state = Gate(checks, log), beginning.state
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
    return Refresh(watcher, queue, gate, managers, state)


def follower_of(
    settings: Settings,
    log: ReleaseLog,
    manager: ManagerHandle,
    state: GateState,
    checks: GateChecks,
) -> FollowerHandle | None:
    """Where each process follows the release log.

    None where nothing changes the release, and where all of the job is in one process that has a
    log to itself.
    """
    told = settings.refresh
    if not settings.inputs.streaming or told.refresh_mode == "off" or not told.release_dir:
        return None
    first, poll_secs = state.current, told.release_poll_secs
    make = FollowerFactory(log.for_polling(), manager, first, poll_secs, checks.release_problems)
    return FollowerHandle(manager.job_key, make)


def stops_of(
    settings: Settings,
    graph: Graph,
    options: PipelineOptions,
    placement: Placement,
    log: ReleaseLog,
    manager: ManagerHandle,
    say: Say,
) -> StopHandle | None:
    """Enters a stream among the jobs of its release folder; what looks for its stop mark.

    A job that only follows the folder writes nothing there: its id is said.

    Raises:
      PathError: the folder refuses that.
    """
    told = settings.refresh
    looks = settings.inputs.streaming and placement.heeds_stop_marks
    if not looks or not told.release_dir or settings.run.dry_run:
        return None
    name = options.view_as(GoogleCloudOptions).job_name or graph.spec.name
    jobs, now = JobFolder(log.folder, log.storage), utc_now()
    entry = JobEntry(new_job_id(name, now), name, now)
    if told.follows:
        say(
            f"to end this job: python -m pipeline stop --job_name={entry.job_id}, and --release_dir"
        )
    else:
        try:
            jobs.enter(entry)
        except ArtifactError as error:
            raise PathError(f"--release_dir: {error}") from error
    make = StopWatcherFactory(jobs, entry.job_id, told.release_poll_secs)
    return StopHandle(manager.job_key, make)


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
    named = plain_paths(settings.allowed_manifest_uris)
    if not named:
        pattern = settings.release_pattern
        folder = literal_prefix(pattern).rpartition("/")[0] if pattern else ""
        named = tuple(place for place in (folder, settings.release_dir) if place)
    return AllowedUris(named, "manifests", "--allowed_manifest_uris")


def allowed_uris(graph: Graph, named: tuple[str, ...] = ()) -> AllowedUris:
    """Where models may be refreshed from.

    Args:
      graph: the ensemble; its own folders count where none are named.
      named: folders.
    """
    if named:
        return AllowedUris(named)
    return AllowedUris.beside(
        [m.artifact_uri for m in graph.models if not is_class_uri(m.artifact_uri)],
        [target.pattern for target in watch_targets(graph.models)],
    )

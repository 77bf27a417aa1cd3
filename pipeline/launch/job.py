"""Everything that is checked before a job starts, cheapest first.

What can be known at launch is refused at launch: users of a template see little more than the last
message of the launcher's log.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.batch.columns import BatchColumn
from pipeline.batch.release import Release
from pipeline.connectors.files.earlier_files import NO_EARLIER_FILES, EarlierFiles
from pipeline.connectors.storage import paths
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.connectors.storage.hub_cache import HubCache
from pipeline.connectors.storage.listing import StorageLister
from pipeline.connectors.storage.log_files import LogFiles
from pipeline.connectors.vm_sharing import VmSharing
from pipeline.drawing.drawing import Drawing, draw
from pipeline.errors import ArtifactError, LaunchError, PathError, SpecError
from pipeline.launch import files as launch_files
from pipeline.launch import outputs as launch_outputs
from pipeline.launch import tables as launch_tables
from pipeline.launch.checks import path_problems
from pipeline.launch.patterns import Say, look_under
from pipeline.launch.placement import Placement
from pipeline.launch.places import place_problems
from pipeline.launch.release import (
    Refresh,
    accepted_before,
    allowed_manifests,
    allowed_uris,
    begin_following,
    begin_log,
    follower_of,
    marks_of,
    refresh_of,
    stops_of,
)
from pipeline.launch.settings import Settings
from pipeline.launch.steps import ready_step
from pipeline.launch.table_names import Tables, tables_of
from pipeline.launch.versions import Beginner
from pipeline.readable import logger
from pipeline.releases.candidate import ReleaseEvent
from pipeline.releases.checks import GateChecks
from pipeline.releases.follower import FollowerHandle
from pipeline.releases.log import ReleaseLog
from pipeline.releases.orders.stop_watcher import StopHandle
from pipeline.releases.versions import watch_targets
from pipeline.runner import stopping
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.files.artifacts import ArtifactCache, LocalCopies
from pipeline.serving.files.own_folder import own_folder
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.rehearsal.rehearsal import Rehearsal
from pipeline.serving.release_manager import ManagerHandle
from pipeline.serving.trial.apart import TrialLimits
from pipeline.serving.trial.trials import Trials
from pipeline.spec import graph as graphs
from pipeline.spec import text as spec_text
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import Graph
from pipeline.spec.row_limits import RowLimits
from pipeline.spec.uris import plain_paths

_LOGGER = logger(__name__)
_LEFT_OUT = {
    "signatures": "no model is run here: each worker runs them before its first record",
    "files": "no model is loaded here: each worker loads and runs them before its first record",
}


@dataclass(frozen=True)
class Job:
    """A job that passed its checks.

    Attributes:
      settings: its parameters.
      graph: the resolved ensemble.
      tables: what it reads from BigQuery and writes to it.
      row_limits: how many records it handles at once.
      release: what serves it at first.
      handle: where each process of the job finds its models.
      rehearsal: what the checks learnt of models and columns.
      refresh: what finds new releases and judges them; None where nothing does.
      follower: where each process of a stream follows the release log; None where nothing changes
        the release from outside the process.
      earlier: files of an earlier run, which those of this one replace.
      events: the versions that were passed over for the first release.
      stops: where each process of a stream looks for the mark that ends it; None where there is no
        release folder, and on a service.
    """

    settings: Settings
    graph: Graph
    tables: Tables
    row_limits: RowLimits
    release: Release
    handle: ManagerHandle
    rehearsal: Rehearsal
    refresh: Refresh | None = None
    follower: FollowerHandle | None = None
    earlier: EarlierFiles = NO_EARLIER_FILES
    events: tuple[ReleaseEvent, ...] = ()
    stops: StopHandle | None = None

    @property
    def stopped(self) -> Callable[[], bool]:
        """Asked by each source of the job, in its process: whether to end. Can be pickled."""
        return self.stops or stopping.stopped

    def stop(self, by: str) -> None:
        """Asks all sources of the job to end, in whatever process they are.

        For a launcher that stays and gets a signal, on an engine whose workers are other
        processes. Writes to the release folder, so call it from a thread, not from the handler.
        Without a release folder only the sources of this process hear of it.

        Args:
          by: who asks, for people, such as "SIGTERM".

        Raises:
          ArtifactError: the storage refuses the mark.
        """
        stopping.stop_all()
        if self.stops is not None:
            self.stops.mark(by)

    def note_end(self) -> None:
        """Notes in the release folder that a stream has ended, so that nobody stops it any more."""
        if self.stops is not None and not self.settings.refresh.follows:
            try:
                self.stops.mark("the end of the job")
            except ArtifactError as error:
                _LOGGER.warning("the end of the job is not noted: %s", error)

    @contextmanager
    def failure_noted(self) -> Iterator[None]:
        """Notes the end of a stream, too, if what is done meanwhile fails, so that none runs."""
        try:
            yield
        except BaseException:
            self.note_end()
            raise

    def drawing(self) -> Drawing:
        """What pictures of the job show: its graph, with the versions that serve it at first."""
        versions = {version.model: version.label for version in self.release.versions}
        return draw(self.graph, self.rehearsal.types, versions)

    def close(self) -> None:
        """Frees what the job holds in this process."""
        if self.refresh is not None:
            self.refresh.close()
        if self.follower is not None:
            self.follower.close()
        if self.stops is not None:
            self.stops.close()
        self.handle.close()
        if self.refresh is not None and not self.settings.refresh.release_dir:
            shutil.rmtree(_own_log(self.handle.job_key), ignore_errors=True)


def check_job(settings: Settings, beam: PipelineOptions, placement: Placement, say: Say) -> Job:
    """Checks paths, ensemble file and models.

    For a local job the models stay loaded in this process, behind ``job.handle``; but not where any
    is shared by several processes. For a service they are checked on the CPU: the machine that
    launches a job has no GPU.

    Args:
      settings: the parameters.
      beam: Beam's options, for credentials.
      placement: where it will run.
      say: told what is being done.

    Raises:
      LaunchError: something is wrong; all problems of paths and ensemble file at once, else all of
        the models.
    """
    inputs, outputs, told = settings.inputs, settings.outputs, settings.refresh
    dry_run, follows = settings.run.dry_run, told.follows
    tables = tables_of(inputs, outputs, beam)
    graph = _checked_graph(settings, tables, beam, placement, say)
    replaces = not dry_run and not inputs.streaming
    earlier = launch_outputs.earlier_of(outputs) if replaces else NO_EARLIER_FILES
    job_key, store = uuid.uuid4().hex, BeamArtifactStore()
    limits = settings.row_limits(graph.spec)
    loader = _loader(settings, graph, limits.call_rows, placement, job_key, store, say)
    records = launch_files.sample(inputs, graph)
    managers = _managers(settings, graph, loader, records, store)
    handle = ManagerHandle(job_key, managers)
    checks = placement.for_checks(handle, managers)
    lister, marks = StorageLister(beam), marks_of(told, store, dry_run=dry_run)
    log = ReleaseLog(told.release_dir or str(_own_log(job_key)), LogFiles(beam))
    before = accepted_before(told.release_dir, graph, log.storage)
    targets = watch_targets(graph.models, told.release_pattern or None)
    gate_checks = _gate_checks(settings, graph, loader, store, records)
    with ExitStack() as at_end:
        at_end.callback(checks.close)
        patterns = () if follows else look_under(targets, lister, before.rules, say)
        apart, depth = placement.loads_apart, settings.models.launch_checks
        beginner = Beginner(gate_checks, checks.get(), patterns, say, marks, apart, depth)
        found = begin_following(beginner, before, log.read) if follows else beginner.begin(before)
        launch_files.check_columns(outputs.output_format, graph, found.rehearsal.types)
        refresh = refresh_of(told, gate_checks, found, patterns, lister, log, handle, managers)
        if not dry_run:  # last: what is refused makes no table and no release
            launch_tables.prepare_outputs(tables, graph, found.rehearsal.types, inputs, say)
            if refresh is not None:
                begin_log(log, found, before, say)
        if checks is handle:
            at_end.pop_all()  # what was checked serves
    return Job(
        *(settings, graph, tables, limits),
        release=found.release,
        handle=handle,
        rehearsal=found.rehearsal,
        refresh=refresh,
        earlier=earlier,
        events=found.events,
        follower=follower_of(settings, log, handle, found.state, gate_checks),
        stops=stops_of(settings, graph, beam, placement, log, handle, say),
    )


def _managers(
    settings: Settings,
    graph: Graph,
    loader: FrameworkLoader,
    records: Mapping[str, BatchColumn],
    store: BeamArtifactStore,
) -> ManagerFactory:
    """What makes the models of each process, which check what the launch leaves out."""
    policy, in_full = settings.refresh.memory_policy, settings.models.launch_checks == "full"
    return ManagerFactory(graph, loader, policy, records=records, store=None if in_full else store)


def _own_log(job_key: str) -> Path:
    """Where a job in one process, for which no `release_dir` is given, keeps its release log."""
    return own_folder("release-logs") / job_key


def _gate_checks(
    settings: Settings,
    graph: Graph,
    loader: FrameworkLoader,
    store: BeamArtifactStore,
    records: Mapping[str, BatchColumn],
) -> GateChecks:
    """What launch and gate check versions with, on the first records of the input."""
    allowed = allowed_uris(graph, plain_paths(settings.refresh.allowed_model_uris))
    models = settings.models
    limits = TrialLimits(models.trial_secs, models.trial_memory_mb)
    trials = Trials(graph, loader, records, limits)
    return GateChecks(
        graph,
        loader.cache,
        store,
        allowed,
        loader.call_rows,
        records,
        trials,
        allowed_manifests(settings.refresh),
    )


def _checked_graph(
    settings: Settings, tables: Tables, beam: PipelineOptions, placement: Placement, say: Say
) -> Graph:
    """The graph of the ensemble file.

    Raises:
      LaunchError: something is wrong with it, or with where the job reads and writes.
    """
    inputs, outputs, models = settings.inputs, settings.outputs, settings.models
    dry_run = settings.run.dry_run
    problems = path_problems(settings) + placement.refresh_problems(settings.refresh)
    problems += placement.check_problems(models.launch_checks)
    if not dry_run:
        problems += placement.option_problems(outputs, beam)
    try:
        graph = read_graph(models.ensemble_spec)
    except SpecError as error:
        raise LaunchError([*problems, *error.problems]) from None
    problems += placement.cache_problems(models.model_cache_dir, graph, say)
    problems += place_problems(settings, graph.spec)
    if not dry_run:
        problems += launch_tables.problems(tables, inputs, graph.spec)
        problems += launch_files.problems(inputs, outputs.output_format, graph.spec)
    if problems:
        raise LaunchError(problems)
    if left_out := _LEFT_OUT.get(models.launch_checks):
        say(f"--launch_checks={models.launch_checks}: {left_out}")
    return graph


def _loader(
    settings: Settings,
    graph: Graph,
    call_rows: int,
    placement: Placement,
    job_key: str,
    store: BeamArtifactStore,
    say: Say,
) -> FrameworkLoader:
    """What loads the models of the job's processes, where they run."""
    shared = [model.name for model in graph.models if model.model_sharing == "vm"]
    shares = placement.several_processes and bool(shared)
    if shared and not shares and not settings.run.dry_run:
        say(f"one process serves, so `model_sharing: vm` has no effect on {', '.join(shared)}")
    return FrameworkLoader(
        models=graph.spec.models,
        cache=_cache(settings, graph, store),
        device=settings.models.device,
        intra_op_threads=placement.intra_op_threads,
        call_rows=call_rows,
        shared=placement.threads_share_models,
        sharing=VmSharing(job_key) if shares else None,
    )


def _cache(settings: Settings, graph: Graph, store: BeamArtifactStore) -> ArtifactCache:
    """Where the job's models are on each machine; what no process uses any more is removed here."""
    watched = tuple(model.watch for model in graph.spec.models if model.watch is not None)
    copies = LocalCopies(watched, refreshed=settings.refresh.refresh_mode != "off")
    most_bytes = settings.models.max_hub_model_mb << 20
    hub = HubCache(store, settings.models.model_cache_dir, most_bytes=most_bytes)
    if settings.run.dry_run:
        copies = LocalCopies()  # it is over before anybody overwrites what it loaded
    cache = ArtifactCache(None, store, hub, copies, most_bytes)
    cache.evict()
    return cache


def read_graph(location: str) -> Graph:
    """The graph of the ensemble file at `location`, its URIs made absolute, its steps' files read.

    Raises:
      SpecError: it cannot be read, is not a valid ensemble file, or does not make a graph.
    """
    spec = _read_spec(location)
    try:
        return graphs.resolve(spec)
    except SpecError as error:
        raise SpecError([f"{location}: {problem}" for problem in error.problems]) from None


def _read_spec(location: str) -> EnsembleSpec:
    try:
        text = paths.read_text(location)
    except PathError as error:
        raise SpecError(f"--ensemble_spec: {error}") from error
    spec = spec_text.parse(text, source=location)
    spec = spec_text.resolve_uris(spec, spec_text.folder_of(location))
    prepare = tuple(ready_step(step, location) for step in spec.prepare)
    combine = tuple(ready_step(step, location) for step in spec.combine)
    return spec.model_copy(update={"prepare": prepare, "combine": combine})

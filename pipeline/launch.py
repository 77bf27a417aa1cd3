"""Everything that is checked before a job starts, cheapest first.

What can be known at launch is refused at launch: users of a template see little more than the last
message of the launcher's log.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline import launch_files, launch_hub, launch_outputs, launch_tables
from pipeline.connectors import paths
from pipeline.connectors.artifact_store import BeamArtifactStore
from pipeline.connectors.earlier_files import NO_EARLIER_FILES, EarlierFiles
from pipeline.connectors.hub_cache import HubCache
from pipeline.connectors.listing import StorageLister
from pipeline.connectors.vm_sharing import VmSharing
from pipeline.core import graph as graphs
from pipeline.core import spec_text
from pipeline.core.batch_rows import call_rows
from pipeline.core.candidate import ReleaseEvent
from pipeline.core.drawing import Drawing, draw
from pipeline.core.graph import Graph
from pipeline.core.release import Release
from pipeline.core.spec import EnsembleSpec
from pipeline.core.version_order import watch_targets
from pipeline.errors import LaunchError, PathError, SpecError
from pipeline.launch_checks import path_problems, service_problems
from pipeline.launch_patterns import look
from pipeline.launch_release import Refresh, accepted_before, allowed_uris, refresh_of
from pipeline.launch_steps import prepared_step, with_labels
from pipeline.launch_versions import Beginner
from pipeline.serving.artifacts import ArtifactCache, LocalCopies
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.release_manager import ManagerHandle
from pipeline.serving.validation import Rehearsal
from pipeline.serving.verification import Verifier
from pipeline.settings import Settings
from pipeline.tables import tables_of

MODEL_CACHE = Path(tempfile.gettempdir()) / f"ensemble-models-{os.getuid()}"
"""Where models are downloaded or copied to, for all processes of this user on this machine."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Placement:
    """Where a job's processes run.

    Attributes:
      on_service: elsewhere, not in this process or its children.
      intra_op_threads: see FrameworkLoader.
      threads_share_models: several threads of a process call the same models.
      several_processes: a machine has more than one process that serves.
    """

    on_service: bool
    intra_op_threads: int
    threads_share_models: bool
    several_processes: bool


@dataclass(frozen=True)
class Job:
    """A job that passed its checks.

    Attributes:
      settings: its parameters.
      graph: the resolved ensemble.
      release: what serves it at first.
      handle: where each process of the job finds its models.
      rehearsal: what the checks learnt of models and columns.
      refresh: what changes the release while it runs; None where nothing does.
      earlier: files of an earlier run, which those of this one replace.
      events: the versions that were passed over for the first release.
    """

    settings: Settings
    graph: Graph
    release: Release
    handle: ManagerHandle
    rehearsal: Rehearsal
    refresh: Refresh | None = None
    earlier: EarlierFiles = NO_EARLIER_FILES
    events: tuple[ReleaseEvent, ...] = ()

    def drawing(self) -> Drawing:
        """What pictures of the job show: its graph, with the versions that serve it at first."""
        versions = {version.model: version.label for version in self.release.versions}
        return draw(self.graph, self.rehearsal.types, versions)

    def close(self) -> None:
        """Frees what the job holds in this process."""
        if self.refresh is not None:
            self.refresh.gate.close()
        self.handle.close()


def prepare(settings: Settings, beam: PipelineOptions, placement: Placement, say: Say) -> Job:
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
    problems = path_problems(settings)
    if placement.on_service and not settings.dry_run:
        problems += service_problems(settings, beam)
    tables = tables_of(settings, beam)
    try:
        graph = read_graph(settings.ensemble_spec)
    except SpecError as error:
        problems += error.problems
    else:
        problems += launch_hub.cache_problems(settings, graph, placement.on_service, say)
        if not settings.dry_run:
            problems += launch_tables.problems(tables, settings, graph.spec)
            problems += launch_files.problems(settings, graph.spec)
    if problems:
        raise LaunchError(problems)
    earlier = launch_outputs.earlier_of(settings)
    job_key, store = uuid.uuid4().hex, BeamArtifactStore()
    loader = _loader(settings, graph, placement, job_key, store, say)
    records = launch_files.sample(settings, graph)
    managers = ManagerFactory(graph, loader, settings.memory_policy, records=records)
    handle = ManagerHandle(job_key, managers)
    checks = handle
    if placement.on_service or loader.sharing is not None:
        checks = _for_checks(handle, managers, cpu_only=placement.on_service)
    history, lister = accepted_before(settings.release_dir, graph, store), StorageLister(beam)
    targets = watch_targets(graph.models, settings.release_pattern or None)
    allowed = allowed_uris(graph, settings.allowed_model_uris)
    verifier = Verifier(graph, loader.cache, store, allowed, loader.max_batch_size, records)
    try:
        patterns = look(targets, lister, history[-1].rules if history else {}, say)
        found = Beginner(verifier, checks.get(), patterns, say).begin(history)
        watched = tuple(pattern.target for pattern in patterns)
        refresh = refresh_of(settings, verifier, found.state, watched, lister, handle, managers)
        if not settings.dry_run:  # last: what is refused makes no table
            launch_tables.prepare_outputs(tables, settings, graph.spec, found.rehearsal.types, say)
    except LaunchError:
        checks.close()
        raise
    if checks is not handle:
        checks.close()
    release, rehearsal = found.release, found.rehearsal
    return Job(settings, graph, release, handle, rehearsal, refresh, earlier, found.events)


def _loader(
    settings: Settings,
    graph: Graph,
    placement: Placement,
    job_key: str,
    store: BeamArtifactStore,
    say: Say,
) -> FrameworkLoader:
    """What loads the models of the job's processes, where they run."""
    shared = [model.name for model in graph.models if model.model_sharing == "vm"]
    shares = placement.several_processes and bool(shared)
    if shared and not shares and not settings.dry_run:
        say(f"one process serves, so `model_sharing: vm` has no effect on {', '.join(shared)}")
    return FrameworkLoader(
        models=graph.spec.models,
        cache=_cache(settings, graph, store),
        device=settings.device,
        intra_op_threads=placement.intra_op_threads,
        max_batch_size=call_rows(settings.max_batch_size),
        shared=placement.threads_share_models,
        sharing=VmSharing(job_key) if shares else None,
    )


def _cache(settings: Settings, graph: Graph, store: BeamArtifactStore) -> ArtifactCache:
    """Where the job's models are on each machine; what no process uses any more is removed here."""
    watched = tuple(model.watch for model in graph.spec.models if model.watch is not None)
    copies = LocalCopies(watched, refreshed=settings.refresh_mode != "off")
    hub = HubCache(store, settings.model_cache_dir)
    # A dry run is over before anybody overwrites what it loaded.
    cache = ArtifactCache(MODEL_CACHE, store, hub, LocalCopies() if settings.dry_run else copies)
    cache.evict()
    return cache


def _for_checks(
    handle: ManagerHandle, managers: ManagerFactory, *, cpu_only: bool
) -> ManagerHandle:
    """Models of this process's own, which are freed before the job starts."""
    loader = dataclasses.replace(managers.loader, cpu_only=cpu_only, sharing=None)
    return ManagerHandle(f"{handle.job_key}-checks", dataclasses.replace(managers, loader=loader))


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
    prepare = tuple(prepared_step(step, location) for step in spec.prepare)
    combine = tuple(with_labels(step, location) for step in spec.combine)
    return spec.model_copy(update={"prepare": prepare, "combine": combine})

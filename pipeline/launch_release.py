"""The release that a job starts with, and what it needs to come to others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.connectors.listing import StorageLister
from pipeline.core.allowed_uris import AllowedUris
from pipeline.core.gate_state import Accepted, GateState, start
from pipeline.core.graph import Graph
from pipeline.core.model_spec import is_class_uri
from pipeline.core.release import ModelVersion, Release
from pipeline.core.version_order import ordered, rule_for, versions, watch_targets
from pipeline.errors import ArtifactError, ModelError
from pipeline.refresh.watcher import WatcherHandle
from pipeline.serving.artifacts import ArtifactCache, ArtifactStore
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.gate import GateFactory, GateHandle
from pipeline.serving.judge import Judge
from pipeline.serving.release_manager import ManagerHandle
from pipeline.serving.release_store import ReleaseStore
from pipeline.serving.verification import Verifier
from pipeline.settings import Settings

Say = Callable[[str], None]


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


def named_release(
    graph: Graph,
    cache: ArtifactCache,
    beam: PipelineOptions,
    say: Say,
    *,
    newest: bool,
    generation: int,
) -> Release:
    """The release that the ensemble file names.

    Args:
      graph: the ensemble.
      cache: brings the models' files here.
      beam: Beam's options, for credentials.
      say: told what is being done.
      newest: take the newest version under a model's `watch` pattern, where there is one, in place
        of its `uri`. A batch job does so, once; in a stream, the watcher will find it.
      generation: of the release.

    Raises:
      ModelError: models that cannot be fetched: all of them.
    """
    uris = {model.name: model.artifact_uri for model in graph.models}
    if newest:
        uris |= _newest(graph, beam)
    found: list[ModelVersion] = []
    problems: list[str] = []
    for name, uri in uris.items():
        say(f"fetching model '{name}' from {uri}")
        try:
            found.append(ModelVersion(name, uri, cache.fetch(uri).digest))
        except ArtifactError as error:
            problems.append(f"model '{name}': {error}")
    if problems:
        raise ModelError(problems)
    return Release(generation, tuple(found))


def refresh_of(
    settings: Settings,
    graph: Graph,
    release: Release,
    history: list[Accepted],
    manager: ManagerHandle,
    managers: ManagerFactory,
    store: ArtifactStore,
    beam: PipelineOptions,
) -> Refresh | None:
    """What refreshes the models, None where nothing does.

    Raises:
      ModelError: watch mode, and there is nothing to watch.
    """
    if settings.refresh_mode == "off":
        return None
    targets = watch_targets(graph.models, settings.release_pattern or None)
    if settings.watches and not targets:
        raise ModelError(
            f"--refresh_mode={settings.refresh_mode}: nothing to watch; give a model the key "
            "`watch` in the ensemble file, or give --release_pattern"
        )
    allowed = allowed_uris(graph, settings.allowed_model_uris)
    releases = ReleaseStore(settings.release_dir, store) if settings.release_dir else None
    loader = managers.loader
    verifier = Verifier(graph, loader.cache, store, allowed, loader.max_batch_size)
    judge = Judge(verifier, releases)
    state = start(release, datetime.now(UTC), history)
    watcher = WatcherHandle(
        manager.job_key,
        targets,
        StorageLister(beam),
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


def _newest(graph: Graph, beam: PipelineOptions) -> dict[str, str]:
    found: dict[str, str] = {}
    for target in watch_targets(graph.models):
        try:
            there = versions(target, StorageLister(beam).list_files(target.pattern))
        except ArtifactError as error:
            raise ModelError(f"model '{target.models[0]}': {error}") from error
        rule = rule_for(target, there)
        if rule is not None:
            found |= dict.fromkeys(target.models, ordered(there, rule)[0][-1].uri)
    return found

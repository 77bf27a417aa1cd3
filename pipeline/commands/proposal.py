"""A change of the release, looked at as the gate of the job will look at it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pipeline import launch
from pipeline.connectors.artifact_store import BeamArtifactStore
from pipeline.connectors.hub_cache import HubCache
from pipeline.connectors.listing import StorageLister
from pipeline.core.candidate import Candidate
from pipeline.core.gate_plan import Refusal, plan
from pipeline.core.gate_state import GateState, start
from pipeline.core.graph import Graph
from pipeline.core.hub_url import is_hub_url
from pipeline.core.manifest import Manifest
from pipeline.core.model_spec import is_class_uri
from pipeline.core.plain_data import did_you_mean
from pipeline.core.release import ModelVersion, Release
from pipeline.core.version_order import watch_targets
from pipeline.errors import ArtifactError, LaunchError, ModelError
from pipeline.launch_patterns import look, newest, rules_after
from pipeline.launch_release import accepted_before, allowed_uris
from pipeline.serving.artifacts import ArtifactCache
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.judge import Judge
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.verification import Verifier

SOURCE = "release command"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Proposal:
    """What is to be released.

    Attributes:
      graph: the ensemble.
      changes: model -> URI.
      rollback_to: in place of changes: a generation, or 0 for the one before the current.
      release_dir: where the job records accepted releases; empty where that is not known.
      allowed: what the job has as --allowed_model_uris.
    """

    graph: Graph
    changes: Mapping[str, str] = field(default_factory=dict)
    rollback_to: int | None = None
    release_dir: str = ""
    allowed: str = ""


def problems(proposal: Proposal) -> list[str]:
    """What is wrong with it, as far as that can be seen without loading a model.

    Looked at are names, whether models may come from where they are, and whether anything is there.
    """
    found = []
    names = [model.name for model in proposal.graph.models]
    allowed = allowed_uris(proposal.graph, proposal.allowed)
    for name, uri in proposal.changes.items():
        if name not in names:
            hint = did_you_mean(name, names) or f"; the models are {', '.join(names)}"
            found.append(f"--set: unknown model '{name}'{hint}")
            continue
        problem = proposal.graph.spec.model(name).version_problem(uri)
        problem = problem or (None if is_class_uri(uri) else allowed.problem(uri))
        problem = problem or _nothing_there(uri)
        found += [f"--set {name}: {problem}"] if problem else []
    return found


def _nothing_there(uri: str) -> str | None:
    if is_class_uri(uri) or is_hub_url(uri):
        return None  # the class is what serves already; a hub is asked when the model is loaded
    try:
        there = BeamArtifactStore().exists(uri)
    except ArtifactError as error:
        return str(error)
    return None if there else f"nothing is at {uri}"


def current(proposal: Proposal, say: Say) -> GateState | None:
    """What the job's gate remembers, as far as it is recorded.

    Returns:
      None where nothing is recorded: no folder was given, or nothing was accepted yet.

    Raises:
      ModelError: the folder cannot be read, or there is nothing to roll back.
    """
    history = accepted_before(proposal.release_dir, proposal.graph, BeamArtifactStore())
    if history:
        return start(history[-1].release, datetime.now(UTC), history)
    if proposal.release_dir:
        nothing = f"--release_dir: no release of these models is recorded in {proposal.release_dir}"
        if proposal.rollback_to is not None:
            raise ModelError(f"{nothing}, so there is none to roll back")
        say(f"{nothing}: taking for those that serve what a job would start with")
    return None


def planned(proposal: Proposal, state: GateState | None, say: Say) -> None:
    """Makes sure that the gate would not pass over the proposal, without a look at any file.

    Raises:
      ModelError: it would.
    """
    if proposal.rollback_to is not None and not _target_is_recorded(proposal, state, say):
        return
    refusal = plan(state or _assumed(proposal.graph, say), _candidate(proposal))
    if isinstance(refusal, Refusal):
        raise ModelError(f"the gate would say '{refusal.outcome}': {refusal.reason}")


def _target_is_recorded(proposal: Proposal, state: GateState | None, say: Say) -> bool:
    """Whether it is recorded what a rollback leads to.

    The release that a job was launched with is known to the job, but not recorded.
    """
    if state is None:
        return False
    last = state.history[-1]
    wanted = proposal.rollback_to or last.returns_to
    recorded = [accepted.release.generation for accepted in state.history]
    if wanted is not None and recorded[0] > wanted:
        say(f"generation {wanted} is not recorded in {proposal.release_dir}; the job may know it")
        return False
    return True


def verified(proposal: Proposal, state: GateState | None, say: Say) -> Release:
    """The release that comes of a proposal, once it has passed all that the gate checks.

    Everything is loaded here, on the CPU.

    Raises:
      ModelError: it does not pass; says why.
    """
    if proposal.rollback_to is not None and not _target_is_recorded(proposal, state, say):
        raise ModelError("--verify: it is not recorded which versions the rollback leads to")
    graph, store = proposal.graph, BeamArtifactStore()
    cache = ArtifactCache(launch.MODEL_CACHE, store, HubCache(store))
    if state is None:
        assumed = _assumed(graph, say)
        named = _fetched(assumed.current, cache, say)
        state = start(named, datetime.now(UTC), rules=assumed.rules)
    loader = FrameworkLoader(graph.spec.models, cache, "cpu", os.cpu_count() or 1, cpu_only=True)
    judge = Judge(Verifier(graph, cache, store, allowed_uris(graph, proposal.allowed)))
    manager = ManagerFactory(graph, loader)()
    say(f"verifying: loading {len(graph.models)} models, running made-up rows and golden examples")
    try:
        event = judge(state, _candidate(proposal), manager).event
    finally:
        manager.close()
    if event.release is None:
        raise ModelError(f"the gate would say '{event.outcome}': {event.reason}")
    say(f"verified in {event.details['verification_secs']} s: {_examples(event.details)}")
    return event.release


def _fetched(release: Release, cache: ArtifactCache, say: Say) -> Release:
    """A release with the digests of its files.

    Raises:
      ModelError: models that cannot be fetched: all of them.
    """
    found: list[ModelVersion] = []
    problems: list[str] = []
    for version in release.versions:
        say(f"fetching model '{version.model}' from {version.uri}")
        try:
            found.append(replace(version, digest=cache.fetch(version.uri).digest))
        except ArtifactError as error:
            problems.append(f"model '{version.model}': {error}")
    if problems:
        raise ModelError(problems)
    return Release(release.generation, tuple(found))


def manifest(
    proposal: Proposal, state: GateState | None, release: Release | None, say: Say
) -> Manifest:
    """The proposal as a manifest, which names every model.

    Args:
      proposal: what is proposed.
      state: of the gate, where it is known. Models that are not to change stay as they are there,
        else as a job would start with.
      release: what was verified; its digests then go into the manifest, so that nothing else can
        come to serve.
      say: told what is passed over.
    """
    if proposal.rollback_to is not None:
        return Manifest({}, rollback_to=proposal.rollback_to)
    versions = (release or (state or _assumed(proposal.graph, say)).current).versions
    uris = {version.model: version.uri for version in versions} | dict(proposal.changes)
    digests = {version.model: version.digest for version in versions} if release else {}
    return Manifest(uris, digests)


def _assumed(graph: Graph, say: Say) -> GateState:
    """The state of a job that starts now, if what is newest passes; no files are looked at."""
    patterns = look(watch_targets(graph.models), StorageLister(), {}, say)
    uris = {model.name: model.artifact_uri for model in graph.models} | newest(patterns)
    release = Release(1, tuple(ModelVersion(model, uri, "") for model, uri in uris.items()))
    return start(release, datetime.now(UTC), rules=rules_after(patterns))


def _candidate(proposal: Proposal) -> Candidate:
    now_us = time.time_ns() // 1000
    return Candidate(
        f"{SOURCE} {now_us}",
        SOURCE,
        now_us,
        models=proposal.changes,
        rollback_to=proposal.rollback_to,
    )


def _examples(details: Mapping[str, object]) -> str:
    count = details["examples"]
    return f"{count} examples passed" if count else "there are no examples beside the new versions"


def parse_changes(texts: Sequence[str]) -> dict[str, str]:
    """Model -> URI, of texts ``MODEL=URI``.

    Raises:
      LaunchError: texts that are none, or name a model twice: all of them.
    """
    changes: dict[str, str] = {}
    wrong = []
    for text in texts:
        name, equals, uri = (part.strip() for part in text.partition("="))
        if not name or not equals or not uri:
            wrong.append(f"--set: found '{text}', expected MODEL=URI")
        elif name in changes:
            wrong.append(f"--set: model '{name}' is set twice, to {changes[name]} and {uri}")
        else:
            changes[name] = uri
    if wrong:
        raise LaunchError(wrong)
    return changes

"""A change of the release that a command proposes, checked as the job's gate will check it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pipeline.batch.release import ModelVersion, Release
from pipeline.commands.trial_options import ModelLimits
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.connectors.storage.hub_cache import HubCache
from pipeline.connectors.storage.listing import StorageLister
from pipeline.connectors.storage.log_files import LogFiles
from pipeline.errors import ArtifactError, LaunchError, ModelError, PathError
from pipeline.launch.patterns import Say, look_under, newest, rules_after
from pipeline.launch.release import accepted_before, allowed_uris
from pipeline.releases.candidate import Candidate
from pipeline.releases.checks import GateChecks
from pipeline.releases.gate import Gate
from pipeline.releases.log import ReleaseLog
from pipeline.releases.manifest import Manifest
from pipeline.releases.orders.proposals import ProposalFolder
from pipeline.releases.proposal import Refusal, proposal_of
from pipeline.releases.state import GateState, initial_state
from pipeline.releases.versions import watch_targets
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.trial.trials import Trials
from pipeline.spec.graph import Graph
from pipeline.spec.plain_data import did_you_mean
from pipeline.spec.uris import is_class_uri, is_hub_url

RELEASE_COMMAND = "release command"


@dataclass(frozen=True)
class WantedRelease:
    """What the user wants to release.

    Attributes:
      graph: the ensemble.
      changes: model -> URI.
      rollback_to: a generation, or 0 for the one before the current, instead of changes.
      release_dir: where the job records accepted releases; empty if that is not known.
      allowed: the job's --allowed_model_uris.
      limits: what models may take.
    """

    graph: Graph
    changes: Mapping[str, str] = field(default_factory=dict)
    rollback_to: int | None = None
    release_dir: str = ""
    allowed: tuple[str, ...] = ()
    limits: ModelLimits = field(default_factory=ModelLimits)


def problems(wanted: WantedRelease) -> list[str]:
    """What is wrong with it, as far as this is known without loading a model.

    Checked are the names, whether models may come from the URIs, and whether anything is there.
    """
    found = []
    names = [model.name for model in wanted.graph.models]
    allowed = allowed_uris(wanted.graph, wanted.allowed)
    for name, uri in wanted.changes.items():
        if name not in names:
            hint = did_you_mean(name, names) or f"; the models are {', '.join(names)}"
            found.append(f"--set: unknown model '{name}'{hint}")
            continue
        problem = wanted.graph.spec.model(name).version_problem(uri)
        problem = problem or (None if is_class_uri(uri) else allowed.problem(uri))
        problem = problem or _nothing_there(uri)
        found += [f"--set {name}: {problem}"] if problem else []
    return found


def _nothing_there(uri: str) -> str | None:
    if is_class_uri(uri) or is_hub_url(uri):
        return None  # the class serves already; a hub is asked when the model is loaded
    try:
        there = BeamArtifactStore().exists(uri)
    except ArtifactError as error:
        return str(error)
    return None if there else f"nothing is at {uri}"


def gate_state(wanted: WantedRelease, say: Say) -> GateState | None:
    """What the job's gate remembers, as far as it is recorded.

    Returns:
      None if nothing is recorded: no folder was given, or nothing was accepted yet.

    Raises:
      ModelError: the folder cannot be read, or there is nothing to roll back.
    """
    before = accepted_before(wanted.release_dir, wanted.graph, LogFiles())
    if history := before.appended:
        newest, position = history[-1].release, before.position
        state = initial_state(newest, datetime.now(UTC), history, position=position)
        return _with_target(wanted, state)
    if wanted.release_dir:
        nothing = f"--release_dir: no release of these models is recorded in {wanted.release_dir}"
        if wanted.rollback_to is not None:
            raise ModelError(f"{nothing}, so there is none to roll back")
        say(f"{nothing}: taking for those that serve what a job would start with")
    return None


def _with_target(wanted: WantedRelease, state: GateState) -> GateState:
    """The state that remembers the release that a rollback leads to, if the log has it.

    Raises:
      ModelError: the folder cannot be read.
    """
    known = [accepted.release.generation for accepted in state.history]
    if not wanted.rollback_to or wanted.rollback_to in known:
        return state
    try:
        found = ReleaseLog(wanted.release_dir, LogFiles()).read(wanted.rollback_to)
    except ArtifactError as error:
        raise ModelError(f"--release_dir: {error}") from error
    same = found is not None and found.marks.keys() == state.marks.keys()
    return replace(state, history=(found, *state.history)) if found and same else state


def refuse_ignored(wanted: WantedRelease, state: GateState | None, say: Say) -> None:
    """Refuses what the gate would refuse, without reading any file.

    Raises:
      ModelError: the gate would ignore or reject it.
    """
    if wanted.rollback_to is not None and state is None:
        return
    refusal = proposal_of(state or _assumed(wanted.graph, say), _candidate(wanted, state))
    if isinstance(refusal, Refusal):
        raise ModelError(f"the gate would say '{refusal.outcome}': {refusal.reason}")


def pass_gate(wanted: WantedRelease, state: GateState | None, say: Say) -> Release:
    """The resulting release, after it has passed all checks of the gate.

    Loads everything here, on the CPU.

    Raises:
      ModelError: it does not pass; says why.
    """
    if wanted.rollback_to is not None and state is None:
        raise ModelError("--verify: it is not recorded which versions the rollback leads to")
    graph, store = wanted.graph, BeamArtifactStore()
    most_bytes = wanted.limits.unpacked_bytes
    hub = HubCache(store, most_bytes=most_bytes)
    cache = ArtifactCache(None, store, hub, most_unpacked_bytes=most_bytes)
    if state is None:
        assumed = _assumed(graph, say)
        named = _fetched(assumed.current, cache, say)
        state = initial_state(named, datetime.now(UTC), rules=assumed.rules)
    loader = FrameworkLoader(graph.spec.models, cache, "cpu", os.cpu_count() or 1, cpu_only=True)
    trials = Trials(graph, loader, limits=wanted.limits.trial)
    allowed = allowed_uris(graph, wanted.allowed)
    gate = Gate(GateChecks(graph, cache, store, allowed, trials=trials))
    manager = ManagerFactory(graph, loader)()
    say(f"verifying: loading {len(graph.models)} models, running made-up rows and golden examples")
    try:
        event = gate(state, _candidate(wanted, state), manager).event
    finally:
        manager.close()
    if event.release is None:
        raise ModelError(f"the gate would say '{event.outcome}': {event.reason}")
    say(f"verified in {event.details['verification_secs']} s: {_examples(event.details)}")
    return event.release


def _fetched(release: Release, cache: ArtifactCache, say: Say) -> Release:
    """A release with the digests of its files.

    Raises:
      ModelError: names all models that cannot be fetched.
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


def manifest_of(
    wanted: WantedRelease, state: GateState | None, release: Release | None, say: Say
) -> Manifest:
    """The manifest of what is wanted; it names every model.

    Args:
      wanted: what is proposed.
      state: the state of the gate, if known. Models that do not change keep their versions from
        there, otherwise those that a job would start with.
      release: the release that passed the checks. Its digests go into the manifest, so that no
        other files can serve.
      say: gets what is passed over.
    """
    if wanted.rollback_to is not None:
        return Manifest({}, rollback_to=wanted.rollback_to)
    versions = (release or (state or _assumed(wanted.graph, say)).current).versions
    uris = {version.model: version.uri for version in versions} | dict(wanted.changes)
    digests = {version.model: version.digest for version in versions} if release else {}
    return Manifest(uris, digests)


def _assumed(graph: Graph, say: Say) -> GateState:
    """The state of a job that starts now, provided that the newest versions pass. Reads no file."""
    patterns = look_under(watch_targets(graph.models), StorageLister(), {}, say)
    uris = {model.name: model.artifact_uri for model in graph.models} | newest(patterns)
    release = Release(1, tuple(ModelVersion(model, uri, "") for model, uri in uris.items()))
    return initial_state(release, datetime.now(UTC), rules=rules_after(patterns))


def propose(wanted: WantedRelease, state: GateState | None) -> str:
    """Writes a proposal into the release folder, where every gate reads it; its URI.

    A rollback to the release before is one to a generation: it undoes what serves now, and nothing
    that is accepted meanwhile.

    Raises:
      PathError: the folder refuses it.
    """
    names = tuple(model.name for model in wanted.graph.models)
    folder = ProposalFolder(wanted.release_dir, LogFiles(), names)
    candidate = _candidate(wanted, state)
    try:
        return folder.propose(
            datetime.now(UTC),
            candidate.sequence_us,
            models=candidate.models,
            rollback_to=candidate.rollback_to,
        )
    except ArtifactError as error:
        raise PathError(f"--release_dir: {error}") from error


def _candidate(wanted: WantedRelease, state: GateState | None) -> Candidate:
    """What is wanted, newer than all that was accepted, whatever the clock of this machine says."""
    now_us, back = time.time_ns() // 1000, wanted.rollback_to
    if state is not None:
        now_us = max(now_us, *(mark.sequence_us + 1 for mark in state.marks.values()))
        back = state.history[-1].returns_to or 0 if back == 0 else back
    return Candidate(
        f"{RELEASE_COMMAND} {now_us}",
        RELEASE_COMMAND,
        now_us,
        models=wanted.changes,
        rollback_to=back,
    )


def _examples(details: Mapping[str, object]) -> str:
    count = details["examples"]
    return f"{count} examples passed" if count else "there are no examples beside the new versions"


def parse_changes(texts: Sequence[str]) -> dict[str, str]:
    """Model -> URI, of texts ``MODEL=URI``.

    Raises:
      LaunchError: names all texts of another form, and those that name a model twice.
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

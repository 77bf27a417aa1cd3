"""What a candidate changes, given what the gate remembers: functions of values.

`proposal_of` says what the candidate would change, without reading its models. The caller fetches
them and says which versions they are: an overwritten file is a new version under the old URI.
`release_of` then makes the release that they lead to. :mod:`pipeline.releases.checks` says whether
that may serve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pipeline.batch.release import ModelVersion, Release
from pipeline.releases.candidate import Candidate
from pipeline.releases.manifest import Manifest
from pipeline.releases.state import Accepted, GateState, rules_of
from pipeline.releases.version_rule import RELEASES, VersionRule, is_older
from pipeline.spec.plain_data import did_you_mean


@dataclass(frozen=True)
class Proposal:
    """What a candidate would change.

    Attributes:
      candidate: the candidate.
      wanted: model -> URI to fetch; empty for a rollback.
      digests: model -> digest that its files must have, for models whose candidate names one.
      target: the release that a rollback returns to; None for everything else.
      left_out: the reasons why parts of the candidate are not followed, one line each.
    """

    candidate: Candidate
    wanted: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    target: Accepted | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """A candidate that leads to no release.

    Attributes:
      outcome: "ignored" if it changes nothing, "rejected" if it is at fault.
      reason: one line.
    """

    outcome: Literal["ignored", "rejected"]
    reason: str


def proposal_of(
    state: GateState,
    candidate: Candidate,
    read_manifest: Callable[[Candidate], Manifest | None] = lambda candidate: None,
    recall: Callable[[int], Accepted | None] = lambda generation: None,
) -> Proposal | Refusal:
    """What a candidate would change, as far as this is known without its files.

    A partial candidate is compared model by model: models that are older than their mark are left
    out, and the candidate is ignored only if no model is left. A manifest is a whole: it is ignored
    if any of its models is older.

    Args:
      state: what the gate remembers.
      candidate: what is proposed.
      read_manifest: gives the content of its `manifest_uri`, None if it has none. Called only if
        the candidate is not refused without; what it raises comes through.
      recall: gives an accepted release that the state remembers no more, None if there is none.
    """
    if (refusal := _refused_unread(state, candidate)) is not None:
        return refusal
    manifest = read_manifest(candidate)
    rollback_to = manifest.rollback_to if manifest else candidate.rollback_to
    if rollback_to is not None:
        return _rollback(state, candidate, rollback_to, recall)
    models = manifest.models if manifest else candidate.models
    if problem := _name_problem(state, models, whole=manifest is not None):
        return Refusal("rejected", problem)
    uris = {model: uri.rstrip("/") for model, uri in models.items()}
    reasons = {model: _older(state, candidate, model, uri) for model, uri in uris.items()}
    older = [reason for reason in reasons.values() if reason]
    if older and (manifest or len(older) == len(uris)):
        return Refusal("ignored", "; ".join(older))
    return Proposal(
        candidate,
        wanted={model: uri for model, uri in uris.items() if not reasons[model]},
        digests=manifest.digests if manifest else {},
        left_out=tuple(older),
    )


def spelled_out(candidate: Candidate, manifest: Manifest | None) -> Candidate:
    """The candidate with the content of its manifest, to compare it with others that wait.

    Args:
      candidate: what is proposed.
      manifest: the content of its `manifest_uri`; None if it has none, or it is not known.
    """
    if manifest is None:
        return candidate
    return replace(
        candidate,
        rule=None,
        manifest_uri=None,
        models=manifest.models,
        rollback_to=manifest.rollback_to,
    )


def release_of(
    state: GateState, proposal: Proposal, found: Mapping[str, ModelVersion]
) -> Release | Refusal:
    """The release that a proposal leads to, with the next generation.

    Args:
      state: the state that the proposal was made from.
      proposal: the result of `proposal_of`.
      found: model -> version, for every model that the proposal wants.
    """
    generation = state.newest_generation + 1
    if proposal.target is not None:
        return Release(generation, proposal.target.release.versions)
    versions = {version.model: version for version in state.current.versions}
    undone = [m for m, v in found.items() if v == state.marks[m].version != versions[m]]
    changed = {m: v for m, v in found.items() if v != versions[m] and m not in undone}
    if undone and (proposal.candidate.manifest_uri is not None or not changed):
        lines = [
            f"model '{model}': {found[model].uri} was rolled back from, and only a rollback to its "
            "generation returns to it"
            for model in undone
        ]
        return Refusal("ignored", "; ".join(lines))
    if not changed:
        lines = [f"model '{model}' is at {version.uri} already" for model, version in found.items()]
        return Refusal("ignored", "nothing changes: " + "; ".join(lines))
    return Release(generation, tuple({**versions, **changed}.values()))


def next_candidate(
    waiting: Sequence[Candidate], rules: Mapping[str, VersionRule] | None = None
) -> int:
    """The position of the waiting candidate that goes to the gate next.

    It is the newest of its kind, so that only one of a burst is loaded: once it is accepted,
    `proposal_of` ignores the older ones; if it is rejected, the next newest gets its turn.
    Candidates of different kinds keep the order of arrival. Nothing overtakes a rollback, since a
    rollback refers to the release that serves when its turn comes.

    Args:
      waiting: at least one, in the order of arrival, with the content of their manifests. One whose
        manifest is still unread overtakes nothing.
      rules: see Accepted.
    """
    newest = 0
    for i, candidate in enumerate(waiting):
        if candidate.rollback_to is not None:
            break
        if _supersedes(candidate, waiting[newest], rules or {}):
            newest = i
    return newest


def _refused_unread(state: GateState, candidate: Candidate) -> Refusal | None:
    """The refusal of a candidate before any file is read; None if files have to be read.

    Refused are a candidate that has its verdict, one that its source passes over, and one that
    comes by a pattern whose rule its name does not fit.
    """
    if candidate.candidate_id in state.handled:
        known = f"candidate '{candidate.candidate_id}' has its verdict already"
        return Refusal("ignored", f"duplicate: {known}")
    if candidate.passed_over is not None:
        return Refusal("ignored", candidate.passed_over)
    proposed = [*candidate.models.items(), (RELEASES, candidate.manifest_uri)]
    for key in rules_of(candidate):
        uri, rule = dict(proposed)[key], state.rules.get(key)
        if uri and rule and rule.covers(uri) and not rule.fits(uri):
            return Refusal("ignored", rule.misfit(uri))
    return None


def _supersedes(one: Candidate, other: Candidate, fixed: Mapping[str, VersionRule]) -> bool:
    """Whether nothing of `other` is left to change once `one` is accepted."""
    for model, uri in other.models.items():
        if model not in one.models:
            return False
        rule = fixed.get(model) or one.rule or other.rule
        if not is_older(uri, other.sequence_us, one.models[model], one.sequence_us, rule):
            return False
    return bool(other.models)


def _rollback(
    state: GateState,
    candidate: Candidate,
    to: int,
    recall: Callable[[int], Accepted | None],
) -> Proposal | Refusal:
    known = {accepted.release.generation: accepted for accepted in state.history}
    last = state.history[-1]
    current = last.release.generation
    wanted = to or last.returns_to
    others = ", ".join(str(generation) for generation in known if generation != current)
    recalled = recall(wanted) if wanted is not None and wanted not in known else None
    if recalled is not None and _models(recalled.release) == _models(last.release):
        known[recalled.release.generation] = recalled
    if wanted not in known:
        problem = (
            f"generation {current} was accepted upon no other, so there is nothing to undo"
            if wanted is None
            else f"generation {wanted} is not remembered"
        )
        return Refusal("rejected", f"{problem}; those to return to: {others or 'none'}")
    if known[wanted].release.versions == last.release.versions:
        same = f"generation {wanted} and the current one, {current}, are the same versions"
        return Refusal("ignored", f"nothing changes: {same}")
    return Proposal(candidate, target=known[wanted])


def _name_problem(state: GateState, models: Mapping[str, str], whole: bool) -> str | None:
    names = [version.model for version in state.current.versions]
    known = ", ".join(names)
    if not models:
        return f"the candidate names no model; the ensemble has {known}"
    problems = []
    unknown = [model for model in models if model not in names]
    if unknown:
        hint = did_you_mean(unknown[0], names) if len(unknown) == 1 else ""
        problems.append(f"unknown {_called(unknown)}; the ensemble has {known}{hint}")
    missing = [name for name in names if name not in models]
    if whole and missing:
        problems.append(f"the manifest lacks {_called(missing)}; it must name every model: {known}")
    return "; ".join(problems) or None


def _models(release: Release) -> list[str]:
    return [version.model for version in release.versions]


def _called(models: Sequence[str]) -> str:
    return f"model{'s' if len(models) > 1 else ''} " + ", ".join(f"'{model}'" for model in models)


def _older(state: GateState, candidate: Candidate, model: str, uri: str) -> str | None:
    """Why a model's URI is older than the accepted version; None if it is not."""
    mark = state.marks[model]
    newest = mark.version.uri
    rule = {**rules_of(candidate), **state.rules}.get(model)
    if not is_older(uri, candidate.sequence_us, newest, mark.sequence_us, rule):
        return None
    if uri == state.current.version_of(model).uri != newest:
        return None  # a rollback made it serve: keeping it is not going back
    by = "a later proposal of what serves" if mark.sequence_us else "the launch of the job"
    if mark.candidate_id:
        by = f"candidate '{mark.candidate_id}'"
    old = f"{uri} as it was proposed earlier" if uri == newest else uri
    return (
        f"superseded by {by}: model '{model}' was at {newest}, and {old} is older; only a rollback "
        "goes back"
    )

"""How a candidate is judged against what the gate remembers: pure functions.

`plan` says what it would change, without any look at its files. Whoever can read them fetches them
and says which versions they are: a file that was overwritten is a new version under the old URI.
`resolve` then makes the release that they lead to. Whether that may serve is checked elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipeline.core.candidate import Candidate
from pipeline.core.gate_state import Accepted, GateState, rules_of
from pipeline.core.manifest import Manifest
from pipeline.core.plain_data import did_you_mean
from pipeline.core.release import ModelVersion, Release
from pipeline.core.version_rule import RELEASES, VersionRule, is_older


@dataclass(frozen=True)
class Proposal:
    """What a candidate would change.

    Attributes:
      candidate: whose.
      wanted: model -> URI to be fetched; empty for a rollback.
      digests: model -> digest that its files must have, where the candidate says.
      target: what a rollback returns to; None for everything else.
      left_out: why parts of the candidate are not followed, one line each.
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
      outcome: "ignored" where it changes nothing, "rejected" where it is at fault.
      reason: one line.
    """

    outcome: Literal["ignored", "rejected"]
    reason: str


def refused_unread(state: GateState, candidate: Candidate) -> Refusal | None:
    """The refusal of a candidate of which no file need be read; None where one is.

    That is one that was judged before, or that its source passes over, or that comes by a pattern
    whose rule its name does not fit.
    """
    if candidate.candidate_id in state.handled:
        known = f"candidate '{candidate.candidate_id}' was judged before"
        return Refusal("ignored", f"duplicate: {known}")
    if candidate.passed_over is not None:
        return Refusal("ignored", candidate.passed_over)
    proposed = [*candidate.models.items(), (RELEASES, candidate.manifest_uri)]
    for key in rules_of(candidate):
        uri, rule = dict(proposed)[key], state.rules.get(key)
        if uri and rule and rule.covers(uri) and not rule.fits(uri):
            return Refusal("ignored", rule.misfit(uri))
    return None


def plan(
    state: GateState, candidate: Candidate, manifest: Manifest | None = None
) -> Proposal | Refusal:
    """What a candidate would change, as far as that can be told without its files.

    The models of a partial candidate are looked at one by one: those that are older than their mark
    are left out, and only when none is left the candidate is ignored. A manifest is a whole: it is
    ignored when any of its models is older.

    Args:
      state: what is remembered.
      candidate: what is proposed.
      manifest: what its `manifest_uri` holds, where it has one.
    """
    if (refusal := refused_unread(state, candidate)) is not None:
        return refusal
    rollback_to = manifest.rollback_to if manifest else candidate.rollback_to
    if rollback_to is not None:
        return _plan_rollback(state, candidate, rollback_to)
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


def resolve(
    state: GateState, proposal: Proposal, found: Mapping[str, ModelVersion]
) -> Release | Refusal:
    """The release that a proposal leads to, with the next generation.

    Args:
      state: the one that the proposal was made from.
      proposal: made by `plan`.
      found: model -> version, for all that the proposal wants.
    """
    generation = state.current.generation + 1
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


def next_to_judge(
    waiting: Sequence[Candidate], rules: Mapping[str, VersionRule] | None = None
) -> int:
    """The position of the candidate to judge next, of those that wait.

    The newest of its kind, so that of a burst only one is ever loaded: once it is accepted, `plan`
    ignores the older ones; when it is rejected, the next newest gets its turn. Otherwise in the
    order of arrival. Nothing overtakes a rollback, which means what serves when its turn comes.

    Args:
      waiting: at least one, in the order of arrival, with what their manifests say. What is still
        behind a manifest's URI overtakes nothing.
      rules: see Accepted.
    """
    newest = 0
    for i, candidate in enumerate(waiting):
        if candidate.rollback_to is not None:
            break
        if _supersedes(candidate, waiting[newest], rules or {}):
            newest = i
    return newest


def _supersedes(one: Candidate, other: Candidate, fixed: Mapping[str, VersionRule]) -> bool:
    """Whether `one`, once accepted, leaves nothing of `other`."""
    rules = {**rules_of(other), **rules_of(one), **fixed}
    return bool(other.models) and all(
        model in one.models
        and is_older(uri, other.sequence_us, one.models[model], one.sequence_us, rules.get(model))
        for model, uri in other.models.items()
    )


def _plan_rollback(state: GateState, candidate: Candidate, to: int) -> Proposal | Refusal:
    known = {accepted.release.generation: accepted for accepted in state.history}
    last = state.history[-1]
    current = last.release.generation
    wanted = to or last.returns_to
    others = ", ".join(str(generation) for generation in known if generation != current)
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


def _called(models: Sequence[str]) -> str:
    return f"model{'s' if len(models) > 1 else ''} " + ", ".join(f"'{model}'" for model in models)


def _older(state: GateState, candidate: Candidate, model: str, uri: str) -> str | None:
    """Why a model's URI is older than what was accepted for it; None where it is not."""
    mark = state.marks[model]
    newest = mark.version.uri
    rule = {**rules_of(candidate), **state.rules}.get(model)
    if not is_older(uri, candidate.sequence_us, newest, mark.sequence_us, rule):
        return None
    if uri == state.current.version_of(model).uri != newest:
        return None  # serves since a rollback: to keep it is not to go back
    by = f"candidate '{mark.candidate_id}'" if mark.candidate_id else "the launch of the job"
    old = f"{uri} as it was proposed earlier" if uri == newest else uri
    return (
        f"superseded by {by}: model '{model}' was at {newest}, and {old} is older; only a rollback "
        "goes back"
    )

"""The gate: a candidate goes in, a verdict comes out, never an exception.

A streaming job retries an exception for ever, while a verdict is a value that can be reported. So
an unexpected error is a rejection too, and is logged with its traceback.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from pipeline.backends.reasons import cut, with_type
from pipeline.batch.release import Release
from pipeline.errors import ArtifactError, EnsembleError, LaunchError, ModelError, is_interrupt
from pipeline.readable import logger
from pipeline.releases.build import build_id
from pipeline.releases.candidate import Candidate, Outcome, ReleaseEvent
from pipeline.releases.checks import FetchedVersion, GateChecks
from pipeline.releases.log import ReleaseLog
from pipeline.releases.manifest import Manifest
from pipeline.releases.proposal import Proposal, Refusal, proposal_of, release_of
from pipeline.releases.state import UNRECORDED, Accepted, GateState
from pipeline.serving.release_manager import ReleaseManager
from pipeline.serving.trial.apart import TrialCancelledError

_LOGGER = logger(__name__)
_REASON_CHARACTERS = 2000
_RACES = 20
EVERY_BUILD = "every build"
"""What a verdict holds for that is on a proposal in the release folder."""


class GenerationTakenError(EnsembleError):
    """Another gate appended a release to the log meanwhile, so this one has to be merged again."""


def utc_now() -> datetime:
    """The time now, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a candidate.

    Attributes:
      event: the outcome, with its reason.
      state: what the gate remembers from now on.
      again: whether a storage could not be used. The caller may then drop this verdict and ask
        again; if it does not, see `Gate.give_up`.
      recorded: whether it is that of before.
    """

    event: ReleaseEvent
    state: GateState
    again: bool = False
    recorded: bool = False


@dataclass(frozen=True)
class Gate:
    """Comes to the verdicts on candidates for one ensemble. Can be pickled.

    What it remembers is a state, which it brings up to date with the log each time, so that any
    process may go on where another one stopped.

    Attributes:
      checks: the checks that a proposal has to pass.
      log: of accepted releases and verdicts. A release that cannot be appended does not serve. None
        for a gate that only says what it would say.
      now: the time, aware, UTC.
    """

    checks: GateChecks
    log: ReleaseLog | None = None
    now: Callable[[], datetime] = utc_now

    def __call__(
        self,
        state: GateState,
        candidate: Candidate,
        manager: ReleaseManager,
        activate: Callable[[Release], None] = lambda release: None,
        manifest: Manifest | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Verdict:
        """The verdict on one candidate: the recorded one, if it has one.

        Args:
          state: what the gate remembers.
          candidate: what is proposed.
          manager: loads the proposed release for its rehearsal, and unloads it unless it is
            activated.
          activate: called with a release that passed and was appended, while it is still loaded.
          manifest: the candidate's manifest, where it was read already; see `manifest_of`.
          cancelled: whether the job ends; then a trial under way is given up.
        """
        started = time.monotonic()
        state = self._record_left(state)
        try:
            verdict = self._verdict(state, candidate, manager, activate, manifest, cancelled)
        except BaseException as error:  # a panic of native code is no Exception
            if is_interrupt(error):
                raise
            event = ReleaseEvent("rejected", self.now(), candidate, reason=_reason(error))
            # Its subclasses are final.
            again = type(error) is ArtifactError or isinstance(error, TrialCancelledError)
            verdict = Verdict(event, state if again else state.refuse(candidate), again)
        self._clear_disk()
        if candidate.ordered and candidate.candidate_id in state.handled and not verdict.again:
            verdict = replace(verdict, recorded=True)  # "duplicate" must not bind other builds
        if verdict.recorded:
            return verdict
        if not verdict.again:
            verdict = self._recorded_now(verdict)
        secs = round(time.monotonic() - started, 3)
        return replace(verdict, event=_with_details(verdict.event, {"verification_secs": secs}))

    def _clear_disk(self) -> None:
        """Removes the files that nobody needs; a verdict stands, whatever comes of that."""
        try:
            self.checks.cache.evict()
        except Exception:
            _LOGGER.warning("unused copies of models cannot be removed", exc_info=True)

    def give_up(self, verdict: Verdict) -> Verdict:
        """The last word on a candidate that is not tried again, though a storage was at fault.

        A person's order is rejected for good, else it would be offered, and tried, for ever. Any
        other candidate may be proposed again.

        Args:
          verdict: that of the last attempt.
        """
        candidate = verdict.event.candidate
        if not verdict.again or candidate is None or not candidate.ordered:
            return verdict
        verdict = replace(verdict, state=verdict.state.refuse(candidate), again=False)
        return self._recorded_now(verdict)

    def _verdict(
        self,
        state: GateState,
        candidate: Candidate,
        manager: ReleaseManager,
        activate: Callable[[Release], None],
        manifest: Manifest | None,
        cancelled: Callable[[], bool],
    ) -> Verdict:
        for _ in range(_RACES):
            state = self._caught_up(state)
            if (recorded := self._recorded(state, candidate)) is not None:
                return recorded
            try:
                event, after = self._judge(state, candidate, manager, activate, manifest, cancelled)
            except GenerationTakenError as error:
                _LOGGER.info("%s; the candidate is merged onto it", error)
            else:
                return Verdict(event, after)
        raise ArtifactError(f"other gates came first {_RACES} times in a row")

    def has_verdict(self, candidate: Candidate) -> bool:
        """Whether the log has a verdict on a candidate; False where it cannot be read."""
        if self.log is None:
            return False
        try:
            return self.log.verdict_on(candidate, self._binds(candidate)) is not None
        except ArtifactError:
            return False

    def _binds(self, candidate: Candidate) -> str:
        """What a verdict holds for: this build, and what it was told to check.

        That on what a person ordered once holds for all.
        """
        if candidate.ordered:
            return EVERY_BUILD
        checks, trials = self.checks, self.checks.trials
        limits = trials.limits if trials is not None else None
        told = [
            checks.graph.spec.model_dump_json(),
            checks.allowed,
            checks.manifests,
            limits,
            checks.cache.most_unpacked_bytes,
        ]
        digest = hashlib.sha256(repr(told).encode()).hexdigest()
        return f"build {build_id()}, ensemble and limits {digest[:12]}"

    def _caught_up(self, state: GateState) -> GateState:
        if self.log is None:
            return state
        newest = state.newest_generation
        # By a listing: the gate may have slept for long, and somebody may have cleared up.
        look = self.log.look(newest, [version.model for version in state.current.versions])
        return state.follow(look.appended, look.position) if look.position > newest else state

    def _recorded(self, state: GateState, candidate: Candidate) -> Verdict | None:
        """The verdict that a candidate has; None if it has none yet.

        What was appended is accepted, even if the gate that did so came to no verdict file.
        """
        if self.log is None:
            return None
        found = self.log.verdict_on(candidate, self._binds(candidate))
        if found is not None:
            kept = self.log.read(found.generation) if found.generation is not None else None
            release = kept.release if kept is not None else None
            event = ReleaseEvent(found.outcome, found.time, candidate, release, found.reason)
            return Verdict(event, state, recorded=True)
        for event in state.unrecorded:
            if event.candidate and event.candidate.candidate_id == candidate.candidate_id:
                return Verdict(event, state, recorded=True)
        for before, one in pairwise((state.history[0], *state.history)):
            if one.candidate is not None and one.candidate.candidate_id == candidate.candidate_id:
                back = before is not one and one.returns_to != before.release.generation
                outcome: Outcome = "rolled_back" if back else "accepted"
                event = ReleaseEvent(outcome, one.time, candidate, one.release)
                self._record(event)
                return Verdict(event, state, recorded=True)
        return None

    def _recorded_now(self, verdict: Verdict) -> Verdict:
        """A verdict whose event is kept in the log, or in its state until the log can take it."""
        problem = self._record(verdict.event)
        if problem is None:
            return verdict
        _LOGGER.warning("a verdict is not kept yet: %s", problem)
        left = (*verdict.state.unrecorded, verdict.event)[-UNRECORDED:]
        return replace(verdict, state=replace(verdict.state, unrecorded=left))

    def _record_left(self, state: GateState) -> GateState:
        """The state once the log has, as far as possible, what it could not take before."""
        left = state.unrecorded
        while left and self._record(left[0]) is None:
            left = left[1:]
        return replace(state, unrecorded=left)

    def _record(self, event: ReleaseEvent) -> ArtifactError | None:
        """Keeps a verdict in the log; what is wrong where that cannot take it now."""
        if self.log is None or event.candidate is None:
            return None
        try:
            self.log.record(event, self._binds(event.candidate))
        except ArtifactError as error:
            return error
        return None

    def manifest_of(self, candidate: Candidate) -> Manifest | None:
        """The manifest that a candidate names; None if it names none, or one that is unreadable."""
        try:
            return self.checks.read_manifest(candidate)
        except Exception:  # the verdict names it, when the turn of the candidate comes
            return None

    def _judge(
        self,
        state: GateState,
        candidate: Candidate,
        manager: ReleaseManager,
        activate: Callable[[Release], None],
        manifest: Manifest | None,
        cancelled: Callable[[], bool],
    ) -> tuple[ReleaseEvent, GateState]:
        proposal = proposal_of(
            state,
            candidate,
            lambda one: manifest or self.checks.read_manifest(one),
            self.log.read if self.log is not None else lambda generation: None,
        )
        if isinstance(proposal, Refusal):
            return self._refused(candidate, proposal), state.refuse(candidate)
        if proposal.target and (problems := self.checks.release_problems(proposal.target.release)):
            raise ModelError(problems)
        found = self.checks.fetch(proposal)
        try:
            return self._judge_fetched(state, proposal, found, manager, activate, cancelled)
        finally:
            for one in found.values():
                one.fetched.let_go()

    def _judge_fetched(
        self,
        state: GateState,
        proposal: Proposal,
        found: Mapping[str, FetchedVersion],
        manager: ReleaseManager,
        activate: Callable[[Release], None],
        cancelled: Callable[[], bool],
    ) -> tuple[ReleaseEvent, GateState]:
        candidate = proposal.candidate
        versions = {model: one.version for model, one in found.items()}
        release = release_of(state, proposal, versions)
        if isinstance(release, Refusal):
            return self._refused(candidate, release), state.refuse(candidate, versions)
        changed = [one for one in found.values() if one.version in release.versions]
        examples = self.checks.examples_of(changed)
        known = {version for one in state.history for version in one.release.versions}
        new = [one for one in changed if one.version not in known]
        # Before any room is made for it: what serves goes on, however long the trial takes.
        self.checks.try_apart(release, new, examples, state.current, manager, cancelled)
        with manager.trial(release):
            before = manager.loaded()
            checked = self.checks.check(release, found, examples, manager)
            loads = manager.load_secs(release, before).items()
            load_secs = {model: round(secs, 3) for model, secs in loads}
            event = ReleaseEvent(
                "rolled_back" if proposal.target else "accepted",
                self.now(),
                candidate,
                release,
                details={"examples": checked, "load_secs": load_secs, **_about(proposal, state)},
            )
            state = state.accept(
                candidate, release, event.time, found=versions, target=proposal.target
            )
            self._append(state.history[-1])
            activate(release)
        return event, state

    def _refused(self, candidate: Candidate, refusal: Refusal) -> ReleaseEvent:
        return ReleaseEvent(refusal.outcome, self.now(), candidate, reason=refusal.reason)

    def _append(self, accepted: Accepted) -> None:
        """Raises GenerationTakenError if another gate was faster."""
        if self.log is not None and not self.log.append(accepted):
            uri = self.log.uri_of(accepted.release.generation)
            raise GenerationTakenError(f"another gate appended {uri}")


def _about(proposal: Proposal, state: GateState) -> dict[str, Any]:
    about: dict[str, Any] = {}
    if proposal.target is not None:
        about["rolled_back_from"] = state.current.generation
        about["rolled_back_to"] = proposal.target.release.generation
    if proposal.left_out:
        about["left_out"] = list(proposal.left_out)
    return about


def _with_details(event: ReleaseEvent, details: Mapping[str, Any]) -> ReleaseEvent:
    return replace(event, details={**event.details, **details})


def _reason(error: BaseException) -> str:
    """An error in one line."""
    if isinstance(error, EnsembleError):
        text = "; ".join(error.problems) if isinstance(error, LaunchError) else str(error)
    else:
        _LOGGER.error("a candidate failed with an unexpected error", exc_info=error)
        text = with_type(error)
    return cut(" ".join(text.split()), _REASON_CHARACTERS)

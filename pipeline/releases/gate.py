"""The gate: a candidate goes in, a verdict comes out, never an exception.

A streaming job retries an exception for ever, while a verdict is a value that can be reported. So
an unexpected error is a rejection too, and is logged with its traceback.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pipeline.backends.reasons import cut, with_type
from pipeline.batch.release import Release
from pipeline.errors import ArtifactError, EnsembleError, LaunchError, is_interrupt
from pipeline.readable import logger
from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.releases.checks import FetchedVersion, GateChecks
from pipeline.releases.manifest import Manifest
from pipeline.releases.proposal import Proposal, Refusal, proposal_of, release_of
from pipeline.releases.state import Accepted, GateState
from pipeline.releases.store import ReleaseStore
from pipeline.serving.release_manager import ReleaseManager
from pipeline.serving.trial.apart import TrialCancelledError

_LOGGER = logger(__name__)
_REASON_CHARACTERS = 2000


def utc_now() -> datetime:
    """The time now, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a candidate.

    Attributes:
      event: the outcome, with its reason.
      state: what the gate remembers from now on.
      again: whether the storage could not be read. The caller may then drop this verdict and ask
        again; if it does not, the candidate is not remembered and may be proposed again.
    """

    event: ReleaseEvent
    state: GateState
    again: bool = False


@dataclass(frozen=True)
class Gate:
    """Comes to the verdicts on candidates for one ensemble. Can be pickled.

    Attributes:
      checks: the checks that a proposal has to pass.
      releases: the store of accepted releases; None if they are not kept. A release that cannot be
        written there serves nevertheless: the event says ``not_persisted`` and why.
      now: the time, aware, UTC.
    """

    checks: GateChecks
    releases: ReleaseStore | None = None
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
        """The verdict on one candidate.

        Args:
          state: what the gate remembers.
          candidate: what is proposed.
          manager: loads the proposed release for its rehearsal, and unloads it unless it is
            activated.
          activate: called with a release that passed, while it is still loaded.
          manifest: the candidate's manifest, where it was read already; see `manifest_of`.
          cancelled: whether the job ends; then a trial under way is given up.
        """
        started = time.monotonic()
        try:
            event, state = self._verdict(state, candidate, manager, activate, manifest, cancelled)
            again = False
        except BaseException as error:  # a panic of native code is no Exception
            if is_interrupt(error):
                raise
            event = ReleaseEvent("rejected", self.now(), candidate, reason=_reason(error))
            # Its subclasses are final.
            again = type(error) is ArtifactError or isinstance(error, TrialCancelledError)
            state = state if again else state.refuse(candidate)
        else:
            if event.release is not None:
                event = _with_details(event, self._persist(state.history[-1]))
        self.checks.cache.evict()
        secs = round(time.monotonic() - started, 3)
        return Verdict(_with_details(event, {"verification_secs": secs}), state, again)

    def manifest_of(self, candidate: Candidate) -> Manifest | None:
        """The manifest that a candidate names; None if it names none, or one that is unreadable."""
        try:
            return self.checks.read_manifest(candidate)
        except Exception:  # the verdict names it, when the turn of the candidate comes
            return None

    def _verdict(
        self,
        state: GateState,
        candidate: Candidate,
        manager: ReleaseManager,
        activate: Callable[[Release], None],
        manifest: Manifest | None,
        cancelled: Callable[[], bool],
    ) -> tuple[ReleaseEvent, GateState]:
        proposal = proposal_of(
            state, candidate, lambda one: manifest or self.checks.read_manifest(one)
        )
        if isinstance(proposal, Refusal):
            return self._refused(candidate, proposal), state.refuse(candidate)
        found = self.checks.fetch(proposal)
        try:
            return self._verdict_on_fetched(state, proposal, found, manager, activate, cancelled)
        finally:
            for one in found.values():
                one.fetched.let_go()

    def _verdict_on_fetched(
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
            activate(release)
        return event, state

    def _refused(self, candidate: Candidate, refusal: Refusal) -> ReleaseEvent:
        return ReleaseEvent(refusal.outcome, self.now(), candidate, reason=refusal.reason)

    def _persist(self, accepted: Accepted) -> dict[str, Any]:
        if self.releases is None:
            return {}
        try:
            self.releases.write(accepted)
        except Exception as error:
            reason = _reason(error)
            _LOGGER.warning(
                "release generation %d serves but could not be kept: %s",
                accepted.release.generation,
                reason,
            )
            return {"not_persisted": reason}
        return {}


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

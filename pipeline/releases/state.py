"""What the gate remembers of releases and candidates: an immutable value and its transitions.

*Marks* make the order of candidates harmless. The mark of a model is the newest version that was
ever accepted. Older versions are ignored, so reordered and repeated candidates end at the same
release. A rollback does not move the marks: the version that it rolled back from stays ignored, and
a newer one passes.

*A rollback undoes.* Each release remembers which one it replaced. A rollback returns to that one,
and the release that it makes takes over that memory. So repeated rollbacks go further and further
back, never to and fro, and a release that was rolled back is reached again only by its generation.

*Rules.* The order of the versions under a pattern is fixed with the first release: by the launch if
there are versions then, otherwise by the first candidate that is accepted.

:mod:`pipeline.releases.proposal` compares a candidate with the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pipeline.batch.release import ModelVersion, Release
from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.releases.version_rule import RELEASES, VersionRule, is_older

HISTORY = 20
"""How many accepted releases are remembered; the log has all."""
HANDLED = 1000
"""How many candidates are remembered by their ids."""
UNRECORDED = 100
"""How many verdicts are remembered that the log could not take."""


@dataclass(frozen=True)
class Mark:
    """The newest version of a model that was ever accepted.

    Attributes:
      version: the version.
      sequence_us: the time of the newest proposal that named the model; 0 for the release of the
        launch.
      candidate_id: the candidate that brought it; None for the release of the launch.
    """

    version: ModelVersion
    sequence_us: int = 0
    candidate_id: str | None = None


@dataclass(frozen=True)
class Accepted:
    """One accepted release, as it is remembered and persisted.

    Attributes:
      release: the release.
      time: the time of its acceptance, aware, UTC.
      candidate: the candidate that it came from; None for the release of the launch.
      returns_to: the generation that a rollback from here returns to; None if there is none.
      marks: model -> mark, as of this release.
      rules: model -> order of the versions under its pattern, for those whose order is fixed; the
        key RELEASES stands for manifests of whole releases.
    """

    release: Release
    time: datetime
    candidate: Candidate | None = None
    returns_to: int | None = None
    marks: Mapping[str, Mark] = field(default_factory=dict)
    rules: Mapping[str, VersionRule] = field(default_factory=dict)


@dataclass(frozen=True)
class GateState:
    """What the gate remembers. Immutable, can be pickled.

    Attributes:
      history: accepted releases, oldest first, the last one current; at least one.
      handled: ids of candidates that have their verdict, oldest first.
      position: the highest generation that the log has a file for, if that is another ensemble's
        or damaged; else 0.
      unrecorded: verdicts that the log could not take yet, oldest first.
    """

    history: tuple[Accepted, ...]
    handled: tuple[str, ...] = ()
    position: int = 0
    unrecorded: tuple[ReleaseEvent, ...] = ()

    @property
    def current(self) -> Release:
        """The newest accepted release."""
        return self.history[-1].release

    @property
    def newest_generation(self) -> int:
        """The highest generation that is taken."""
        return max(self.position, self.current.generation)

    @property
    def marks(self) -> Mapping[str, Mark]:
        """Model -> the newest version that was ever accepted."""
        return self.history[-1].marks

    @property
    def rules(self) -> Mapping[str, VersionRule]:
        """See Accepted."""
        return self.history[-1].rules

    def accept(
        self,
        candidate: Candidate,
        release: Release,
        time: datetime,
        *,
        found: Mapping[str, ModelVersion] | None = None,
        target: Accepted | None = None,
    ) -> GateState:
        """The state in which `release` is the current one.

        Args:
          candidate: the candidate that it came from.
          release: the release, of the generation after the newest one.
          time: now.
          found: model -> version that the candidate named.
          target: the release that a rollback returned to; None for everything else.
        """
        returns_to = target.returns_to if target else self.current.generation
        marks = self._marks_after(candidate, found or {})
        rules = {**rules_of(candidate), **self.rules}
        accepted = Accepted(release, time, candidate, returns_to, marks, rules)
        history = (*self.history, accepted)[-HISTORY:]
        return replace(self, history=history, handled=self._handled_with(candidate))

    def follow(self, appended: Iterable[Accepted], position: int) -> GateState:
        """The state once it is known what others appended to the log.

        Args:
          appended: releases of the same models after the current one, oldest first.
          position: the highest generation that the log has a file for.
        """
        history = (*self.history, *appended)[-HISTORY:]
        ids = [one.candidate.candidate_id for one in history if one.candidate]
        handled = tuple(dict.fromkeys((*self.handled, *ids)))
        return replace(self, history=history, handled=handled[-HANDLED:], position=position)

    def refuse(
        self, candidate: Candidate, found: Mapping[str, ModelVersion] | None = None
    ) -> GateState:
        """The state in which `candidate` has its verdict and changed no release.

        Args:
          candidate: what was proposed.
          found: model -> version that it named, if these are accepted already: anything proposed
            earlier is old now, even if this candidate arrives first.
        """
        last = replace(self.history[-1], marks=self._marks_after(candidate, found or {}))
        history = (*self.history[:-1], last)
        return replace(self, history=history, handled=self._handled_with(candidate))

    def _marks_after(
        self, candidate: Candidate, found: Mapping[str, ModelVersion]
    ) -> dict[str, Mark]:
        marks, rules = dict(self.marks), {**rules_of(candidate), **self.rules}
        for model, version in found.items():
            mark = marks[model]
            newest = max(mark.sequence_us, candidate.sequence_us)
            old = is_older(
                version.uri, newest, mark.version.uri, mark.sequence_us, rules.get(model)
            )
            if old or version in (mark.version, self.current.version_of(model)):
                marks[model] = replace(mark, sequence_us=newest)
            else:
                marks[model] = Mark(version, newest, candidate.candidate_id)
        return marks

    def _handled_with(self, candidate: Candidate) -> tuple[str, ...]:
        if candidate.candidate_id in self.handled:
            return self.handled
        return (*self.handled, candidate.candidate_id)[-HANDLED:]


def rules_of(candidate: Candidate) -> dict[str, VersionRule]:
    """The rules that come with a candidate, by model."""
    if candidate.rule is None:
        return {}
    return dict.fromkeys(candidate.models or (RELEASES,), candidate.rule)


def initial_state(
    release: Release,
    time: datetime,
    history: Iterable[Accepted] = (),
    *,
    rules: Mapping[str, VersionRule] | None = None,
    handled: Iterable[str] = (),
    position: int = 0,
) -> GateState:
    """The state of a job that starts.

    Args:
      release: the release that it starts with: the last of `history`, or a new one.
      time: now.
      history: what earlier runs accepted, oldest first; releases of other models, and generations
        after that of `release`, do not count.
      rules: see Accepted; None for those of the history.
      handled: ids of candidates that have their verdict from the launch.
      position: see GateState.
    """
    models = _models(release)
    known = [
        accepted
        for accepted in history
        if accepted.release.generation <= release.generation and _models(accepted.release) == models
    ]
    if rules is None:
        rules = known[-1].rules if known else {}
    if not known or known[-1].release != release:
        returns_to = known[-1].release.generation if known else None
        marks = {version.model: Mark(version) for version in release.versions}
        known.append(Accepted(release, time, returns_to=returns_to, marks=marks))
    known[-1] = replace(known[-1], rules=rules)
    known = known[-HISTORY:]
    ids = [accepted.candidate.candidate_id for accepted in known if accepted.candidate]
    return GateState(tuple(known), (*ids, *handled), position)


def _models(release: Release) -> list[str]:
    return [version.model for version in release.versions]

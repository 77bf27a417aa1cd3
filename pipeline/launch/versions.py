"""The versions that a job starts with.

Without a release of an earlier run these are, for each pattern, the newest one that passes what the
gate checks; where it does not, the older ones in turn, and the `uri` of the ensemble file last. A
release that was accepted before is resumed. Where that cannot be served any more, newer versions
are tried, then what a rollback would return to; never the `uri`, which might be what somebody
rolled back from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from pipeline.batch.release import ModelVersion, Release
from pipeline.errors import ArtifactError, EnsembleError, ModelError
from pipeline.launch.choices import LAUNCH, Choice, check_not_undone, choices_of
from pipeline.launch.patterns import Pattern, Say, rules_after
from pipeline.launch.problems import lines_of, model_of, texts_of
from pipeline.launch.settings import LaunchChecks
from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.releases.checks import Examples, FetchedVersion, GateChecks
from pipeline.releases.gate import utc_now
from pipeline.releases.launch_marks import LaunchMarks
from pipeline.releases.log import Look
from pipeline.releases.proposal import Proposal
from pipeline.releases.state import GateState, initial_state
from pipeline.serving.files.artifacts import Fetched
from pipeline.serving.rehearsal.golden import Example
from pipeline.serving.rehearsal.label_counts import odd_counts
from pipeline.serving.rehearsal.rehearsal import Rehearsal, attempt
from pipeline.serving.release_manager import ReleaseManager
from pipeline.serving.trial.messages import TrialAnswer
from pipeline.serving.trial.trials import Trials

_SHOWN = (
    3  # versions that were passed over, in the message of a refused launch; all are said before
)


@dataclass(frozen=True)
class Beginning:
    """What a job starts with.

    Attributes:
      release: what serves it at first.
      rehearsal: what was learnt of it.
      state: what its gate remembers.
      events: what was passed over.
    """

    release: Release
    rehearsal: Rehearsal
    state: GateState
    events: tuple[ReleaseEvent, ...] = ()


@dataclass
class Beginner:
    """Finds the versions that a job starts with.

    Attributes:
      checks: fetches and checks versions.
      manager: loads them, and keeps those that are found.
      patterns: what lies under the patterns.
      say: told what is being done, and what is passed over.
      marks: tell whether a launch came back from loading an accepted release.
      apart: models are loaded by trials only, nothing in this process.
      launch_checks: what is done with models: "signatures" runs none, "files" loads none.
    """

    checks: GateChecks
    manager: ReleaseManager
    patterns: Sequence[Pattern]
    say: Say
    marks: LaunchMarks | None = None
    apart: bool = False
    launch_checks: LaunchChecks = "full"
    _events: list[ReleaseEvent] = field(default_factory=list)
    _refused: list[str] = field(default_factory=list)
    _handled: list[str] = field(default_factory=list)
    _again: set[str] = field(default_factory=set)
    _found: dict[tuple[str, str], FetchedVersion] = field(default_factory=dict)
    _not_resumed: dict[frozenset[ModelVersion], list[str]] = field(default_factory=dict)

    @property
    def _runs(self) -> bool:
        return self.launch_checks == "full"

    def begin(self, before: Look) -> Beginning:
        """The release that a job starts with.

        Where the release accepted last is that of a launch, nobody has refreshed anything since,
        and the ensemble file decides again.

        Args:
          before: what the release log has.

        Raises:
          ModelError: there is none, or this machine cannot try any now; says why.
        """
        try:
            return self._begin(before)
        except ArtifactError as error:  # of `_answer`: nothing is passed over for that
            raise ModelError(str(error)) from error

    def resume(self, release: Release, before: Look) -> Beginning | list[str]:
        """The beginning with a release of the log; or what is wrong with it here."""
        rehearsal, problems = self._resume(release)
        state = initial_state(release, utc_now(), before.appended)
        return problems or self._beginning(release, rehearsal, state)

    def _begin(self, before: Look) -> Beginning:
        history, position = before.appended, before.position
        last = history[-1] if history else None
        rules = rules_after(self.patterns, last.rules if last else None)
        if last is None or last.candidate is None:
            uris = {model.name: model.artifact_uri for model in self.checks.graph.models}
            release, rehearsal = self._choose(uris, generation=position + 1)
            if last is not None and last.release.versions == release.versions:
                release = last.release
            state = initial_state(release, utc_now(), history, rules=rules, position=position)
            return self._beginning(release, rehearsal, state)
        state = initial_state(last.release, utc_now(), history, rules=rules, position=position)
        rehearsal, problems = self._resume(last.release)
        generation = last.release.generation
        if problems:
            reason = "; ".join(problems)
            self.say(f"release generation {generation} cannot be resumed: {reason}")
            return self._instead(state, problems)
        self.say(f"resuming at release {last.release.release_id}, generation {generation}")
        return self._beginning(last.release, rehearsal, state)

    def _instead(self, state: GateState, problems: list[str]) -> Beginning:
        """What serves where the release accepted last cannot be: newer versions, or older ones."""
        uris = {version.model: version.uri for version in state.current.versions}
        try:
            release, rehearsal = self._choose(uris, state.newest_generation + 1, state)
        except ModelError as error:
            problems = [*error.problems]
        else:
            changed = {v.model: v for v in release.versions if v not in state.current.versions}
            times = [v.updated_us for pattern in self.patterns for v in pattern.newest_first]
            proposed = Candidate(
                f"launch {release.release_id}",
                LAUNCH,
                max(times, default=0),
                models={model: version.uri for model, version in changed.items()},
            )
            state = state.accept(proposed, release, utc_now(), found=changed)
            return self._beginning(release, rehearsal, state)
        known = {accepted.release.generation: accepted for accepted in state.history}
        target = known.get(state.history[-1].returns_to or 0)
        while target is not None:
            generation = target.release.generation
            release = Release(state.newest_generation + 1, target.release.versions)
            rehearsal, found = self._resume(release)
            if not found:
                self.say(f"going back to the versions of generation {generation}")
                back = Candidate(f"launch {generation}", LAUNCH, 0, rollback_to=generation)
                state = state.accept(back, release, utc_now(), target=target)
                return self._beginning(release, rehearsal, state)
            target = known.get(target.returns_to or 0)
        raise ModelError(
            [
                *problems,
                f"--release_dir: release generation {state.current.generation}, accepted last, "
                "cannot be served, nor can what it was accepted upon; the `uri` of the ensemble "
                "file is not taken, because somebody may have rolled back from it. Restore the "
                "files, or give another folder to start anew",
            ]
        )

    def _resume(self, release: Release) -> tuple[Rehearsal, list[str]]:
        """What was learnt of a release that was accepted before, and what is wrong with it.

        It is tried apart only where the launch before did not come back from loading it.
        """
        rehearsal, problems = Rehearsal(), self.checks.release_problems(release)
        if not problems:
            rehearsal, problems = self._resume_allowed(release)
        if problems:
            self._not_resumed[frozenset(release.versions)] = problems
        return rehearsal, problems

    def _resume_allowed(self, release: Release) -> tuple[Rehearsal, list[str]]:
        trials, marks, generation = self.checks.trials, self.marks, release.generation
        left = marks is not None and self._is_left(marks, generation)
        loads = self.launch_checks != "files"
        if not loads or (trials is not None and (left or self.apart)):
            if left and loads:
                where = f"loading release generation {generation}"
                self.say(f"the last launch did not come back from {where}: it is tried apart")
            try:
                found = {one: self.checks.cache.fetch_version(one) for one in release.versions}
            except EnsembleError as error:
                return Rehearsal(), texts_of(error)
            if trials is None or not loads:
                return Rehearsal(), []
            answer, problems = self._answer(trials, release, found, {}, again=True)
            if problems:
                return Rehearsal(), problems
            if self.apart and answer is not None:
                return answer.rehearsal, list(answer.problems)
        with marks.around(generation) if marks is not None else nullcontext():
            return self._attempt(release, {})

    def _answer(
        self,
        trials: Trials,
        release: Release,
        found: Mapping[ModelVersion, Fetched],
        examples: Examples,
        *,
        again: bool,
    ) -> tuple[TrialAnswer | None, list[str]]:
        """What a trial learnt, None where nothing was tried; or what it died or suffered from.

        Raises:
          ArtifactError: the fault is this machine's. That is no reason to pass over anything.
        """
        try:
            return trials(release, found, examples, say=self.say, again=again, runs=self._runs), []
        except EnsembleError as error:
            if type(error) is ArtifactError:  # its subclasses tell of the files
                raise
            return None, texts_of(error)

    def _is_left(self, marks: LaunchMarks, generation: int) -> bool:
        try:
            return marks.is_left(generation)
        except ArtifactError as error:
            self.say(f"warning: nobody knows whether the last launch came back: {error}")
            return False

    def _attempt(self, release: Release, examples: Examples) -> tuple[Rehearsal, list[str]]:
        comparison = replace(self.checks.comparison(self.manager, examples), runs=self._runs)
        return attempt(self.checks.graph, release, self.manager, self.say, comparison)

    def _beginning(self, release: Release, rehearsal: Rehearsal, state: GateState) -> Beginning:
        for warning in odd_counts(self.checks.graph, rehearsal.types):
            self.say(f"warning: {warning}")
        self.manager.mark_prepared(release)  # where it serves in this process, once is enough
        state = replace(state, handled=(*state.handled, *self._handled))
        return Beginning(release, rehearsal, state, tuple(self._events))

    def _choose(
        self, uris: Mapping[str, str], generation: int, state: GateState | None = None
    ) -> tuple[Release, Rehearsal]:
        """The newest versions that pass together.

        Args:
          uris: model -> what is taken where nothing under its pattern passes, and for models
            without a pattern.
          generation: of the release.
          state: what the gate remembers; None where that is nothing.

        Raises:
          ModelError: nothing passes.
        """
        watched = [pattern for pattern in self.patterns if pattern.target.models]
        options = [choices_of(pattern, uris, state) for pattern in watched]
        at = [0] * len(options)
        while True:
            chosen = [of[position] for of, position in zip(options, at, strict=True)]
            wanted = dict(uris)
            for option in chosen:
                wanted |= option.uris
            proposed = {m: one.candidate for one in chosen for m in one.uris if one.candidate}
            release, rehearsal, problems = self._tried(wanted, proposed, generation, state)
            if release is not None and not problems:
                for pattern, position in zip(watched, at, strict=True):
                    self._say_start(pattern, release, position)
                return release, rehearsal
            texts = [text for some in problems.values() for text in some]
            can_step = [i for i, of in enumerate(options) if at[i] + 1 < len(of)]
            blamed = [i for i in can_step if problems.keys() & chosen[i].uris.keys()]
            movable = {model for i in blamed for model in chosen[i].uris}
            hopeless = release is None and not problems.keys() <= movable  # files that are missing
            # Where no version is at fault by itself, the one that came last is passed over.
            blamed = blamed or sorted(can_step, key=lambda i: chosen[i].updated_us)[-1:]
            if hopeless or not blamed:
                raise ModelError([*self._passed_over(), *texts])
            for i in blamed:
                own = [text for model in chosen[i].uris for text in problems.get(model, ())]
                self._pass_over(chosen[i], own or texts, judged=bool(own))
                at[i] += 1

    def _tried(
        self,
        uris: Mapping[str, str],
        proposed: Mapping[str, Candidate],
        generation: int,
        state: GateState | None,
    ) -> tuple[Release | None, Rehearsal, dict[str | None, list[str]]]:
        """A release of some versions, what was learnt of it, and by model what is wrong."""
        problems: dict[str | None, list[str]] = {}
        found: dict[str, FetchedVersion] = {}
        examples: dict[ModelVersion, Sequence[Example]] = {}
        for model, uri in uris.items():
            try:
                found[model] = self._fetched(model, uri, proposed.get(model))
                if state is not None and model in proposed:
                    check_not_undone(state, model, found[model].version)
                examples[found[model].version] = self.checks.examples(found[model])
            except EnsembleError as error:
                problems[model] = lines_of(error, model)
                if type(error) is ArtifactError:  # its subclasses are for good
                    self._again.add(uri)
        if problems:
            return None, Rehearsal(), problems
        release = Release(generation, tuple(one.version for one in found.values()))
        if texts := self._not_resumed.get(frozenset(release.versions), []):
            rehearsal, is_decided = Rehearsal(), True
        else:
            rehearsal, texts, is_decided = self._tried_apart(release, found, examples, state)
        if not is_decided:
            rehearsal, texts = self._attempt(release, examples)
        for text in texts:
            problems.setdefault(model_of(text, uris), []).append(text)
        if not problems and not is_decided and self._runs:
            for version, some in examples.items():
                try:
                    self.checks.check_examples({version: some}, release, rehearsal, self.manager)
                except EnsembleError as error:
                    problems[version.model] = lines_of(error, version.model)
        return release, rehearsal, problems

    def _tried_apart(
        self,
        release: Release,
        found: Mapping[str, FetchedVersion],
        examples: Examples,
        state: GateState | None,
    ) -> tuple[Rehearsal, list[str], bool]:
        """What a trial of the versions found, its problems, and whether they are all there is."""
        trials, loads = self.checks.trials, self.launch_checks != "files"
        if trials is None or not loads:
            return Rehearsal(), [], not loads
        tried = {one.version: one.fetched for one in found.values()}
        # Beside an accepted release that cannot be served, nothing is known to do no harm.
        again = self.apart or state is not None
        answer, problems = self._answer(trials, release, tried, examples, again=again)
        if problems:
            return Rehearsal(), problems, True
        if answer is None or not self.apart:
            return Rehearsal(), [], False
        return answer.rehearsal, list(answer.problems), True

    def _fetched(self, model: str, uri: str, proposed: Candidate | None) -> FetchedVersion:
        known = self._found.get((model, uri))
        if known is not None:
            return known
        self.say(f"fetching model '{model}' from {uri}")
        if proposed is None:  # named by the ensemble file, or accepted
            if problem := self.checks.recorded_problem(model, uri):
                raise ModelError(f"model '{model}': {problem}")
            fetched = self.checks.cache.fetch(uri)
            found = FetchedVersion(ModelVersion(model, uri, fetched.digest), fetched)
        else:
            found = self.checks.fetch(Proposal(proposed, wanted={model: uri}))[model]
        self._found[model, uri] = found
        return found

    def _passed_over(self) -> list[str]:
        more = len(self._refused) - _SHOWN
        return self._refused[:_SHOWN] + [f"{more} more versions do not pass"] * (more > 0)

    def _pass_over(self, option: Choice, problems: Sequence[str], *, judged: bool) -> None:
        """Tells it, and frees what it holds; `judged` tells that the version itself is at fault."""
        uri = " and ".join(dict.fromkeys(option.uris.values()))
        reason = " ".join("; ".join(problems).split())
        models = ", ".join(f"'{model}'" for model in option.uris)
        self.say(f"{uri} is passed over for {models}: {reason}")
        self._refused.append(f"{uri} does not pass: {reason}")
        if option.candidate is not None:
            rejected = ReleaseEvent("rejected", utc_now(), option.candidate, reason=reason)
            self._events.append(rejected)
            if judged and not self._again.intersection(option.uris.values()):
                self._handled.append(option.candidate.candidate_id)
        gone = [self._found.pop(item) for item in option.uris.items() if item in self._found]
        self.manager.unload([one.version for one in gone])

    def _say_start(self, pattern: Pattern, release: Release, position: int) -> None:
        found, where = pattern.newest_first, pattern.target.pattern
        for model in pattern.target.models:
            version = release.version_of(model)
            under = [one.uri for one in found]
            if version.uri not in under:
                why = f"none of the {len(found)} passes" if found else "nothing is there"
                text = f"{version.uri}; under {where} {why}"
            else:
                order = "the newest" if not position else "the newest that passes"
                text = f"{version.uri}, {order} of {len(found)} under {where}"
            self.say(f"model '{model}': starting at {text}")

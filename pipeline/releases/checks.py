"""The gate's checks of a proposed release: the cheap ones first, the expensive ones last.

Anybody may send a message that says where models are, so the URIs are checked first. Then the files
are fetched and their digests compared, what was never accepted is tried in a process of its own, a
rehearsal runs a few rows through the whole graph
(loading, signatures, shapes, rows that depend on their company), and the examples that come with a
new version are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.batch.columns import BatchColumn
from pipeline.batch.release import ModelVersion, Release
from pipeline.errors import ArtifactChangedError, ArtifactError, ModelError
from pipeline.releases.allowed_uris import AllowedUris
from pipeline.releases.candidate import Candidate
from pipeline.releases.manifest import Manifest, parse
from pipeline.releases.proposal import Proposal
from pipeline.serving.files.artifacts import ArtifactCache, ArtifactStore, Fetched
from pipeline.serving.rehearsal import golden
from pipeline.serving.rehearsal.example_files import examples_of
from pipeline.serving.rehearsal.rehearsal import Comparison, Rehearsal, attempt, fed, rehearse
from pipeline.serving.release_manager import ReleaseManager
from pipeline.serving.trial.trials import Trials
from pipeline.spec.graph import Graph
from pipeline.spec.row_limits import DEFAULT_ROWS
from pipeline.spec.uris import is_class_uri

_MANIFEST_BYTES = 1 << 20
Examples = Mapping[ModelVersion, Sequence[golden.Example]]


@dataclass(frozen=True)
class FetchedVersion:
    """A model version and its files.

    Attributes:
      version: the version.
      fetched: its files; a copy of them stays on this machine as long as this object exists.
    """

    version: ModelVersion
    fetched: Fetched


@dataclass(frozen=True)
class GateChecks:
    """The checks of proposals for one ensemble. Can be pickled.

    Attributes:
      graph: the ensemble.
      cache: brings the models' files to this machine.
      store: reads the files beside them.
      allowed: where models may come from.
      call_rows: the most rows of a call, for models that set none themselves.
      records: see Comparison. A few rows only, because they are pickled with the job.
      trials: tries new versions in a process of their own; None where that is not done.
      manifests: where manifests may lie; None for anywhere.
    """

    graph: Graph
    cache: ArtifactCache
    store: ArtifactStore
    allowed: AllowedUris
    call_rows: int = DEFAULT_ROWS
    records: Mapping[str, BatchColumn] = field(default_factory=dict, compare=False, repr=False)
    trials: Trials | None = None
    manifests: AllowedUris | None = None

    def read_manifest(self, candidate: Candidate) -> Manifest | None:
        """The manifest that a candidate names; None if it names none.

        Raises:
          ArtifactError: it cannot be read.
          ModelError: it is not a manifest, or lies where none may lie.
        """
        uri = candidate.manifest_uri
        if uri is None:
            return None
        if self.manifests is not None and (problem := self.manifests.problem(uri)):
            raise ModelError(f"manifest {problem}")
        try:
            return parse(self.store.read_text(uri, _MANIFEST_BYTES))
        except ValueError as error:
            raise ModelError(f"manifest {uri}: {error}") from error

    def fetch(self, proposal: Proposal) -> dict[str, FetchedVersion]:
        """Fetches the versions that a proposal wants, by model.

        Raises:
          ModelError: models may not come from some of the URIs; names all of them.
          ArtifactError: the files are missing, unreadable or not those that the proposal names.
        """
        asked = {model: self.uri_problem(model, uri) for model, uri in proposal.wanted.items()}
        if problems := [f"model '{model}': {text}" for model, text in asked.items() if text]:
            raise ModelError(problems)
        found = {}
        for model, uri in proposal.wanted.items():
            try:
                fetched = self.cache.fetch(uri)
            except ArtifactError as error:
                raise type(error)(f"model '{model}': {error}") from error
            expected = proposal.digests.get(model, fetched.digest)
            if fetched.digest != expected:
                raise ArtifactChangedError(
                    f"model '{model}': {uri} holds other files than the manifest says: expected "
                    f"digest {expected}, found {fetched.digest}"
                )
            found[model] = FetchedVersion(ModelVersion(model, uri, fetched.digest), fetched)
        return found

    def release_problems(self, release: Release) -> list[str]:
        """Where a recorded release names what neither the ensemble file nor the folders allow.

        Who may write to the release folder must not decide where models come from.
        """
        found = {v.model: self.recorded_problem(v.model, v.uri) for v in release.versions}
        return [f"model '{model}': {problem}" for model, problem in found.items() if problem]

    def recorded_problem(self, model: str, uri: str) -> str | None:
        """Why a model may not come from `uri`; from where the ensemble file names it, it may."""
        is_named = uri == self.graph.spec.model(model).artifact_uri
        return None if is_named else self.uri_problem(model, uri)

    def uri_problem(self, model: str, uri: str) -> str | None:
        """Why a model may not come from `uri`; importing a class is never allowed."""
        if problem := self.graph.spec.model(model).version_problem(uri):
            return problem
        return None if is_class_uri(uri) else self.allowed.problem(uri)

    def examples_of(self, found: Iterable[FetchedVersion]) -> Examples:
        """The examples that come with some versions. Raises what `examples` does."""
        return {one.version: self.examples(one) for one in found}

    def try_apart(
        self,
        release: Release,
        new: Sequence[FetchedVersion],
        examples: Examples,
        serving: Release,
        manager: ReleaseManager,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """Tries the versions of a release that were never accepted, in a process of their own.

        Args:
          release: the release to check.
          new: those versions.
          examples: see `check`.
          serving: the release whose other models feed those that are tried.
          manager: has that release.
          cancelled: whether the job ends.

        Raises:
          ModelError: see Trials.
          TrialCancelledError: the job ends.
        """
        if self.trials is None or not new:
            return

        def given() -> dict[str, BatchColumn]:
            changing = {one.version.model for one in new}
            kept = [model for model in self.graph.models if model.name not in changing]
            if not kept:
                return {}
            before = manager.loaded()
            comparison = Comparison(self.call_rows, self.records, in_company=False)
            columns = attempt(self.graph, serving, manager, comparison=comparison)[0].columns
            # Where nothing served before, only what the release needs stays.
            manager.unload({*serving.versions} - {*release.versions, *before})
            written = {column for model in kept for column in model.columns_written()}
            return {name: column for name, column in columns.items() if name in written}

        found = {one.version: one.fetched for one in new}
        self.trials(release, found, examples, given, cancelled=cancelled)

    def check(
        self,
        release: Release,
        found: Mapping[str, FetchedVersion],
        examples: Examples,
        manager: ReleaseManager,
    ) -> int:
        """Loads a release, rehearses it and checks the examples of its new versions.

        The manager may then activate it without a rehearsal of its own.

        Args:
          release: the release to check.
          found: the versions that were fetched for it.
          examples: those that come with its new versions.
          manager: loads the models, and keeps those that are loaded already.

        Returns:
          the number of examples that were checked.

        Raises:
          ArtifactError: files of a version that was not fetched are missing or unreadable.
          ModelError: the release does not pass: all problems with loading and signatures at once,
            otherwise the first with an example.
        """
        here = {*manager.loaded(), *(one.version for one in found.values())}
        for version in release.versions:
            if version not in here:
                self.cache.fetch_version(version)
        comparison = self.comparison(manager, examples)
        try:
            rehearsal = rehearse(self.graph, release, manager, comparison=comparison)
        except ModelError as error:
            places = [f"model '{version.model}' at {version.uri}" for version in examples]
            proposed = f" (proposed: {', '.join(places)})" if places else ""
            raise ModelError("; ".join(error.problems) + proposed) from error
        count = self.check_examples(examples, release, rehearsal, manager)
        manager.mark_prepared(release)
        return count

    def examples(self, found: FetchedVersion) -> list[golden.Example]:
        """The examples that come with a version.

        Raises:
          ArtifactError: they cannot be read, or the version's files have changed.
          ModelError: they are not examples of the model.
        """
        return self._examples(found.version, found.fetched)

    def check_examples(
        self, examples: Examples, release: Release, rehearsal: Rehearsal, manager: ReleaseManager
    ) -> int:
        """Checks the examples of some versions of a rehearsed release.

        Returns:
          the number of examples.

        Raises:
          ModelError: the first example that fails.
        """
        for version, some in examples.items():
            spec = self.graph.spec.model(version.model)
            try:
                with manager.use(release, spec.name) as servable:
                    golden.check(some, spec, servable, fed(spec, rehearsal))
            except ModelError as error:
                raise ModelError(f"model '{spec.name}' at {version.uri}: {error}") from error
        return sum(map(len, examples.values()))

    def comparison(self, manager: ReleaseManager, examples: Examples) -> Comparison:
        """What a rehearsal compares rows with: the job's records and the versions' examples.

        Args:
          manager: keeps the files of versions that were checked earlier.
          examples: the examples of the new versions.
        """

        def examples_for(version: ModelVersion) -> Sequence[golden.Example]:
            if version in examples:
                return examples[version]
            files = manager.files_of(version)
            try:
                return self._examples(version, files) if files else ()
            except (ArtifactError, ModelError):
                return ()  # they were checked when the version was new

        return Comparison(self.call_rows, self.records, examples_for)

    def _examples(self, version: ModelVersion, fetched: Fetched) -> list[golden.Example]:
        spec = self.graph.spec.model(version.model)
        try:
            return examples_of(self.store, version.uri, fetched, spec)
        except ModelError as error:
            raise ModelError(f"model '{spec.name}' at {version.uri}: {error}") from error

"""Whether a proposed release may serve: the cheap checks first, the expensive ones last.

Anybody's message may say where models are, so the URIs are looked at first. Then the files are
fetched and told apart by their digests, the release goes through the whole graph on a few rows
(loads, signatures, shapes, rows that depend on their company), and the examples that come with a
new version are checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.core.allowed_uris import AllowedUris
from pipeline.core.batch_rows import CALL_ROWS
from pipeline.core.candidate import Candidate
from pipeline.core.columns import Column
from pipeline.core.gate_plan import Proposal
from pipeline.core.graph import Graph
from pipeline.core.manifest import Manifest, parse
from pipeline.core.model_spec import is_class_uri
from pipeline.core.release import ModelVersion, Release
from pipeline.errors import (
    ArtifactChangedError,
    ArtifactError,
    ModelError,
)
from pipeline.serving import golden
from pipeline.serving.artifacts import ArtifactCache, ArtifactStore, Fetched
from pipeline.serving.example_files import examples_of
from pipeline.serving.release_manager import ReleaseManager
from pipeline.serving.validation import Comparison, Rehearsal, fed, rehearse

Examples = Mapping[ModelVersion, Sequence[golden.Example]]


@dataclass(frozen=True)
class Found:
    """A version that was fetched.

    Attributes:
      version: which.
      fetched: its files; a copy of them stays on this machine as long as this object.
    """

    version: ModelVersion
    fetched: Fetched


@dataclass(frozen=True)
class Verifier:
    """Checks proposals for one ensemble. Can be pickled.

    Attributes:
      graph: the ensemble.
      cache: brings the models' files to this machine.
      store: reads what lies beside them.
      allowed: where models may come from. Manifests may lie anywhere: they only name models.
      max_rows: most rows of a call, where a model sets none itself.
      records: see Comparison. A few rows, for they are pickled with the job.
    """

    graph: Graph
    cache: ArtifactCache
    store: ArtifactStore
    allowed: AllowedUris
    max_rows: int = CALL_ROWS
    records: Mapping[str, Column] = field(default_factory=dict, compare=False, repr=False)

    def read_manifest(self, candidate: Candidate) -> Manifest | None:
        """The manifest that a candidate names, if it does.

        Raises:
          ArtifactError: it cannot be read.
          ModelError: it is none.
        """
        if candidate.manifest_uri is None:
            return None
        try:
            return parse(self.store.read_text(candidate.manifest_uri))
        except ValueError as error:
            raise ModelError(f"manifest {candidate.manifest_uri}: {error}") from error

    def fetch(self, proposal: Proposal) -> dict[str, Found]:
        """What a proposal wants, by model.

        Raises:
          ModelError: URIs that models may not come from.
          ArtifactError: nothing is there, it cannot be read, or it is not what the proposal says.
        """
        asked = {model: self._problem(model, uri) for model, uri in proposal.wanted.items()}
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
            found[model] = Found(ModelVersion(model, uri, fetched.digest), fetched)
        return found

    def _problem(self, model: str, uri: str) -> str | None:
        """Why a model may not come from `uri`. First what nobody can allow: to import a class."""
        if problem := self.graph.spec.model(model).version_problem(uri):
            return problem
        return None if is_class_uri(uri) else self.allowed.problem(uri)

    def check(self, release: Release, found: Mapping[str, Found], manager: ReleaseManager) -> int:
        """Loads a release, rehearses it and checks the examples of its new versions.

        Args:
          release: what is to be checked.
          found: what was fetched for it.
          manager: loads the models, and keeps those that are loaded.

        Returns:
          how many examples were checked.

        Raises:
          ArtifactError: files of a version that was not fetched are gone, or not to be read.
          ModelError: it does not pass: all problems with loading and signatures at once, else the
            first with an example.
        """
        here = {*manager.loaded(), *(one.version for one in found.values())}
        for version in release.versions:
            if version not in here:
                self.cache.fetch_version(version)
        new = [one for one in found.values() if one.version in release.versions]
        examples = {one.version: self.examples(one) for one in new}
        comparison = self.comparison(manager, examples)
        try:
            rehearsal = rehearse(self.graph, release, manager, comparison=comparison)
        except ModelError as error:
            places = [f"model '{one.version.model}' at {one.version.uri}" for one in new]
            proposed = f" (proposed: {', '.join(places)})" if places else ""
            raise ModelError("; ".join(error.problems) + proposed) from error
        return self.check_examples(examples, release, rehearsal, manager)

    def examples(self, found: Found) -> list[golden.Example]:
        """The examples that come with a version.

        Raises:
          ArtifactError: they cannot be read, or the version's files were changed.
          ModelError: they are no examples of the model.
        """
        return self._examples(found.version, found.fetched)

    def check_examples(
        self, examples: Examples, release: Release, rehearsal: Rehearsal, manager: ReleaseManager
    ) -> int:
        """Checks the examples of some versions of a release that was rehearsed.

        Returns:
          how many there were.

        Raises:
          ModelError: the first that does not hold.
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
        """How releases are tried: with the records of the job and the examples of their versions.

        Args:
          manager: keeps the files of versions that were checked earlier.
          examples: of those that are new.
        """

        def of_version(version: ModelVersion) -> Sequence[golden.Example]:
            if version in examples:
                return examples[version]
            files = manager.files_of(version)
            try:
                return self._examples(version, files) if files else ()
            except (ArtifactError, ModelError):
                return ()  # they were checked when the version was new

        return Comparison(self.max_rows, self.records, of_version)

    def _examples(self, version: ModelVersion, fetched: Fetched) -> list[golden.Example]:
        spec = self.graph.spec.model(version.model)
        try:
            return examples_of(self.store, version.uri, fetched, spec)
        except ModelError as error:
            raise ModelError(f"model '{spec.name}' at {version.uri}: {error}") from error

"""Whether a proposed release may serve: the cheap checks first, the expensive ones last.

Anybody's message may say where models are, so the URIs are looked at first. Then the files are
fetched and told apart by their digests, the release goes through the whole graph on a few rows
(loads, signatures, shapes, rows that depend on their company), and the examples that come with a
new version are checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.core.allowed_uris import AllowedUris
from pipeline.core.batch_rows import CALL_ROWS
from pipeline.core.candidate import Candidate
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
from pipeline.serving.example_files import examples_of, text_beside
from pipeline.serving.release_manager import ReleaseManager
from pipeline.serving.validation import Comparison, Rehearsal, fed, rehearse


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
    """

    graph: Graph
    cache: ArtifactCache
    store: ArtifactStore
    allowed: AllowedUris
    max_rows: int = CALL_ROWS

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
        try:
            rehearsal = rehearse(self.graph, release, manager, comparison=self.comparison())
        except ModelError as error:
            places = [f"model '{one.version.model}' at {one.version.uri}" for one in new]
            proposed = f" (proposed: {', '.join(places)})" if places else ""
            raise ModelError("; ".join(error.problems) + proposed) from error
        return self.check_examples(new, release, rehearsal, manager)

    def check_examples(
        self,
        new: Iterable[Found],
        release: Release,
        rehearsal: Rehearsal,
        manager: ReleaseManager,
    ) -> int:
        """Checks the examples beside some versions of a release that was rehearsed.

        Returns:
          how many there were.

        Raises:
          ModelError: the first that does not hold.
        """
        return sum(self._check_examples(one, release, rehearsal, manager) for one in new)

    def comparison(self) -> Comparison:
        """How releases are tried: with the examples that come with their versions."""
        return Comparison(self.max_rows, examples=self._examples)

    def _examples(self, version: ModelVersion) -> list[golden.Example]:
        return examples_of(self.store, version, self.graph.spec.model(version.model))

    def _check_examples(
        self, found: Found, release: Release, rehearsal: Rehearsal, manager: ReleaseManager
    ) -> int:
        spec = self.graph.spec.model(found.version.model)
        path = found.fetched.path
        folder = path if path.is_dir() else None
        checked = 0
        for kind in (golden.GOLDEN, golden.WARM_UP):
            try:
                text = text_beside(self.store, found.version.uri, folder, kind)
                if text is None:
                    continue
                examples = golden.parse(text, kind, spec)
                with manager.use(release, spec.name) as servable:
                    golden.check(examples, spec, servable, fed(spec, rehearsal))
            except ModelError as error:
                raise ModelError(f"model '{spec.name}' at {found.version.uri}: {error}") from error
            checked += len(examples)
        return checked

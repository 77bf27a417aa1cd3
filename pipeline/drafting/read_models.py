"""Reads the models of a folder for an ensemble file: finds, describes and rehearses them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipeline.backends.foreign_files import UNREADABLE, advice
from pipeline.batch.release import ModelVersion, Release
from pipeline.batch.tensors import TensorSpec
from pipeline.connectors.storage import paths
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.drafting.description import description_of
from pipeline.drafting.draft import FILL_IN, GUESS, Draft, ModelDraft, model_draft
from pipeline.drafting.model_folders import FoundModel, find_models, usable_name
from pipeline.drafting.recognition import HEAD_BYTES
from pipeline.errors import ArtifactError, EnsembleError, PathError, UntrustedArtifactError
from pipeline.launch.patterns import Say
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.rehearsal.rehearsal import attempt
from pipeline.spec import graph as graphs
from pipeline.spec.column_types import Type
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.uris import is_local


class ModelsFolder:
    """A folder of models, local or in a bucket.

    Attributes:
      name: of the folder.
      found: its models.
      unreadable: files of models that no framework here reads.

    Args:
      location: of the folder, or of a single model's file.

    Raises:
      PathError: nothing is there, it cannot be read, or holds no model.
    """

    def __init__(self, location: str) -> None:
        if location.endswith("://") or not location:
            raise PathError(f"found '{location}', expected a folder of models")
        store = BeamArtifactStore()
        self._cache = ArtifactCache(None, store)
        self._folder = location.rstrip("/") or "/"
        try:
            files = [file.relative for file in store.list_files(self._folder)]
        except ArtifactError as error:
            raise PathError(str(error)) from error
        if files == [""]:
            self._folder, _, name = self._folder.rpartition("/")
            files = [name]
        path = os.path.abspath(self._folder) if is_local(self._folder) else self._folder  # noqa: PTH100
        above, _, self.name = path.rpartition("/")
        self._above = above.rpartition("/")[2]
        self.found = find_models(files, self.name or "model", self._head)
        if not self.found:
            some = ", ".join(files[:5]) + (", ..." if len(files) > 5 else "")
            raise PathError(
                f"found no model in '{location}', which holds {some}; expected files or folders of "
                "scikit-learn, ONNX, PyTorch, TensorFlow, XGBoost, LightGBM or transformers"
                + advice(files)
            )
        self.unreadable = [
            path
            for path in files
            if path.lower().endswith(UNREADABLE)
            and not any(f"{path}/".startswith(f"{one.path}/") for one in self.found)
            and self.found[0].path != "."
        ]

    @property
    def ensemble_name(self) -> str:
        """A name for an ensemble of these models: the folder's, unless that says nothing."""
        return usable_name(self._above if self.name == "models" and self._above else self.name)

    def location(self, path: str) -> str:
        """The location of a path in the folder."""
        if path == ".":
            return self._folder
        return f"{self._folder.rstrip('/')}/{path}" if self._folder else path

    def read(self, found: FoundModel, uri: str, watch: str | None, *, trusted: bool) -> ModelDraft:
        """The entry of a model, with its tensors.

        Args:
          found: the model.
          uri: the key `uri` of the entry.
          watch: the key `watch` of the entry.
          trusted: whether to load files that may run code.
        """
        location = self.location(found.path)
        place = location
        try:
            fetched = self._cache.fetch(location)
            place = str(fetched.path)
            described = description_of(found.framework, fetched.path, trusted=trusted)
        except EnsembleError as error:
            problem = str(error).replace(place, uri)
            if isinstance(error, UntrustedArtifactError) and error.names_a_way:
                problem += "; with --trusted, `init` does so and reads it"
            return model_draft(found.name, found.framework, uri, watch, problem=problem)
        return model_draft(
            found.name,
            found.framework,
            uri,
            watch,
            keys=described.keys,
            inputs=described.inputs,
            outputs=described.outputs,
            optional=described.optional,
            takes_examples=described.takes_examples,
        )

    def try_out(self, draft: Draft, say: Say) -> dict[str, Type]:
        """Loads the drafted models as a job would, and runs made-up rows through them.

        Problems become notes; facts about the outputs are added to the models.

        Returns:
          column -> dtype and row shape, of the outputs that are known then.
        """
        known = [model for model in draft.models if not model.problem]
        if not known:
            return {}
        data = draft.as_data()
        names = {model.name for model in known}
        data["models"] = [entry for entry in data["models"] if entry["name"] in names]
        graph = graphs.resolve(EnsembleSpec.model_validate(data))
        at = {found.name: self.location(found.path) for found in self.found}
        versions = [ModelVersion(n, at[n], self._cache.fetch(at[n]).digest) for n in sorted(names)]
        # The number of threads of `description_of`: TensorFlow cannot change it later.
        loader = FrameworkLoader(graph.spec.models, self._cache, "cpu", 1, cpu_only=True)
        manager = ManagerFactory(graph, loader)()
        try:
            rehearsal, problems = attempt(graph, Release(1, tuple(versions)), manager, say)
        finally:
            manager.close()
        for model in known:
            _learn(model, rehearsal.types)
            model.notes += _notes(model, problems, f"{FILL_IN}this does not work yet: ")
            model.notes += _notes(model, rehearsal.unknown, GUESS)
        columns = {column for model in draft.models for column in model.outputs.values()}
        return {column: rehearsal.types[column] for column in columns & rehearsal.types.keys()}

    def _head(self, path: str) -> bytes:
        return paths.read_head(self.location(path), HEAD_BYTES)


def _learn(model: ModelDraft, types: dict[str, Type]) -> None:
    for tensor, column in model.outputs.items():
        if column in types:
            dtype, shape = types[column]
            model.types[tensor] = TensorSpec(tensor, dtype, (None, *shape))


def _notes(model: ModelDraft, sentences: Sequence[str], before: str) -> list[str]:
    begin = f"model '{model.name}'"
    own = [s.removeprefix(begin).lstrip(": ") for s in sentences if s.startswith(begin)]
    return [f"{before}{sentence}" for sentence in own]

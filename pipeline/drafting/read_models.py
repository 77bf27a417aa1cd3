"""Reads the models of a folder for an ensemble file: finds, describes and rehearses them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

import orjson

from pipeline.backends.archives import DEFAULT_BYTES
from pipeline.backends.foreign_files import HEAD_BYTES, UNREADABLE, advice, way_out
from pipeline.backends.mlflow import mlmodel
from pipeline.batch.release import ModelVersion, Release
from pipeline.batch.tensors import TensorSpec
from pipeline.connectors.storage import paths
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.drafting.description import Described, ModelFile, described_apart
from pipeline.drafting.draft import FILL_IN, GUESS, Draft, ModelDraft, model_draft
from pipeline.drafting.families import CONFIG, PROCESSOR, Clues, keras_names
from pipeline.drafting.model_folders import FoundModel, find_models, usable_name
from pipeline.drafting.recognition import ALSO_OTHER_FILES
from pipeline.errors import ArtifactError, EnsembleError, ModelError, PathError
from pipeline.launch.patterns import Say
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.files.artifacts import ArtifactCache, Fetched
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.rehearsal.rehearsal import Rehearsal, attempt
from pipeline.serving.trial.apart import TrialLimits, answer_of
from pipeline.serving.trial.messages import TrialAnswer, TrialRequest
from pipeline.spec import graph as graphs
from pipeline.spec.column_types import Type
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.uris import is_local

_NOT_YET = f"{FILL_IN}this does not work yet: "


class ModelsFolder:
    """A folder of models, local or in a bucket.

    Attributes:
      name: of the folder.
      found: its models.
      unreadable: files of models that no framework here reads -> what they are.

    Args:
      location: of the folder, or of a single model's file.
      most_unpacked_bytes: of an archive.

    Raises:
      PathError: nothing is there, it cannot be read, or holds no model.
    """

    def __init__(self, location: str, most_unpacked_bytes: int = DEFAULT_BYTES) -> None:
        if location.endswith("://") or not location:
            raise PathError(f"found '{location}', expected a folder of models")
        store = BeamArtifactStore()
        self._cache = ArtifactCache(None, store, most_unpacked_bytes=most_unpacked_bytes)
        self._fetched: dict[str, Fetched] = {}
        self._heads: dict[str, bytes] = {}
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
        self._files = frozenset(files)
        self.found = find_models(files, self.name or "model", self._head)
        if not self.found:
            some = ", ".join(files[:5]) + (", ..." if len(files) > 5 else "")
            raise PathError(
                f"found no model in '{location}', which holds {some}; expected files or folders of "
                "scikit-learn, ONNX, PyTorch, TensorFlow, XGBoost, LightGBM, CatBoost or "
                "transformers" + advice(files, self._head)
            )
        others = [] if self.found[0].path == "." else files
        self.unreadable = {
            path: way
            for path in others
            if not any(f"{path}/".startswith(f"{one.path}/") for one in self.found)
            and (way := self._way_out(path))
        }

    @property
    def ensemble_name(self) -> str:
        """A name for an ensemble of these models: the folder's, unless that says nothing."""
        return usable_name(self._above if self.name == "models" and self._above else self.name)

    def location(self, path: str) -> str:
        """The location of a path in the folder."""
        if path == ".":
            return self._folder
        return f"{self._folder.rstrip('/')}/{path}" if self._folder else path

    def read(self, limits: TrialLimits, say: Say, *, trusted: bool) -> list[Described]:
        """What its models say of themselves, in the order of `found`.

        Args:
          limits: of the process that loads them.
          say: told what is being done.
          trusted: whether to load files that may run code.
        """
        described: dict[int, Described] = {}
        files: dict[int, ModelFile] = {}
        for position, found in enumerate(self.found):
            try:
                path = self._fetch(found).path
                files[position] = ModelFile(found.name, found.framework, path)
            except EnsembleError as error:
                described[position] = Described(None, str(error))
        if files:
            made = described_apart(list(files.values()), limits, say, trusted=trusted)
            described |= zip(files, made, strict=True)
        return [described[position] for position in range(len(self.found))]

    def entry(
        self, found: FoundModel, described: Described, uri: str, watch: str | None
    ) -> ModelDraft:
        """The entry of a model, with its tensors.

        Args:
          found: the model.
          described: what it says of itself.
          uri: the key `uri` of the entry.
          watch: the key `watch` of the entry.
        """
        draft = self._entry(found, described, uri, watch)
        draft.clues = self._clues(found)
        return draft

    def _entry(
        self, found: FoundModel, described: Described, uri: str, watch: str | None
    ) -> ModelDraft:
        known = described.description
        if known is None:
            problem = f"its tensors are not known. {self._problem(found, described, uri)}"
            # No task stands for the one that is not known: it would serve something else.
            missing = ("task",) if found.framework == "transformers" else ()
            for key in missing:
                problem += f"; the entry is refused until it has the key `{key}`"
            return model_draft(
                found.name, found.framework, uri, watch, problem=problem, missing=missing
            )
        if known.inputs is not None and all(
            tensor.dims == () for tensor in known.inputs if tensor.name not in known.optional
        ):
            problem = f"{uri} has no input with a row for each record, so it gives all the same"
            return model_draft(found.name, found.framework, uri, watch, problem=problem)
        return model_draft(
            found.name,
            found.framework,
            uri,
            watch,
            keys=known.keys,
            inputs=known.inputs,
            outputs=known.outputs,
            optional=known.optional,
            takes_examples=known.takes_examples,
            key_notes=known.key_notes,
        )

    def try_out(self, draft: Draft, limits: TrialLimits, say: Say) -> dict[str, Type]:
        """Loads the drafted models as a job would, and runs made-up rows through them.

        Problems become notes; facts about the outputs are added to the models. A model that ends
        the process that runs it is left out, and the others are run without it.

        Returns:
          column -> dtype and row shape, of the outputs that are known then.
        """
        known = [model for model in draft.models if not model.problem]
        rehearsal, problems = Rehearsal(), list[str]()
        while known:
            try:
                rehearsal, problems = self._rehearse(draft, known, limits, say)
                break
            except ModelError as error:
                say(f"left out: {'; '.join(error.problems)}")
                known = _harmless(known, error.problems)
        for model in known:
            _learn(model, rehearsal.types)
            model.notes += _notes(model, problems, _NOT_YET)
            model.notes += _notes(model, rehearsal.unknown, GUESS)
        columns = {column for model in draft.models for column in model.outputs.values()}
        return {column: rehearsal.types[column] for column in columns & rehearsal.types.keys()}

    def _rehearse(
        self, draft: Draft, models: Sequence[ModelDraft], limits: TrialLimits, say: Say
    ) -> tuple[Rehearsal, list[str]]:
        """What is learnt of the drafted ensemble with some of its models, and the problems.

        Raises:
          ModelError: the process that loaded and ran them died; begins with the model, if known.
        """
        data = draft.as_data()
        names = sorted(model.name for model in models)
        data["models"] = [entry for entry in data["models"] if entry["name"] in names]
        graph = graphs.resolve(EnsembleSpec.model_validate(data))
        chosen = [found for found in self.found if found.name in names]
        files = {found.name: self._fetch(found) for found in chosen}
        versions = {
            found.name: ModelVersion(
                found.name, self.location(found.path), files[found.name].digest
            )
            for found in sorted(chosen, key=lambda found: found.name)
        }
        release = Release(1, tuple(versions.values()))
        # The number of threads of `description_of`: TensorFlow cannot change it later.
        loader = FrameworkLoader(graph.spec.models, self._cache, "cpu", 1, cpu_only=True)
        if not limits.cpu_secs:
            manager = ManagerFactory(graph, loader)()
            try:
                return attempt(graph, release, manager, say)
            finally:
                manager.close()
        request = TrialRequest(
            graph,
            release,
            {version: loader.opening(version, files[name]) for name, version in versions.items()},
            {version: version.uri for name, version in versions.items() if files[name].is_copy},
            loader.call_rows,
        )
        within = limits.for_models(file.path for file in files.values())
        answer = answer_of(request, TrialAnswer, within, say)
        return answer.rehearsal, list(answer.problems)

    def _problem(self, found: FoundModel, described: Described, uri: str) -> str:
        """Why a model is not known, by its key `uri`."""
        fetched = self._fetched.get(found.path)
        place = str(fetched.path) if fetched else self.location(found.path)
        problem = described.problem.replace(place, uri).removeprefix(f"model '{found.name}': ")
        if uri not in problem:
            problem = f"{uri}: {problem}"
        if described.needs_trust:
            problem += "; with --trusted, `init` does so and reads it"
        return problem

    def _fetch(self, found: FoundModel) -> Fetched:
        """The files of a model, fetched once; a copy stays as long as this object.

        Raises:
          ArtifactError: they cannot be brought here.
        """
        if found.path not in self._fetched:
            self._fetched[found.path] = self._cache.fetch(self.location(found.path))
        return self._fetched[found.path]

    def _clues(self, found: FoundModel) -> Clues:
        """What may say which family of image models a model is of."""
        path = PurePosixPath(found.path)
        folder = path.parent if found.path in self._files else path
        alone = all(one is found or not self._is_in(one, folder) for one in self.found)
        files: dict[str, Any] = {}
        for name in (CONFIG, PROCESSOR) if alone else ():
            if str(folder / name) in self._files:
                with suppress(PathError, ValueError):
                    files[name] = orjson.loads(paths.read_text(self.location(str(folder / name))))
        names = [found.name, path.stem, *path.parts[:-1]]
        fetched = self._fetched.get(found.path)
        names += keras_names(fetched.path) if fetched and found.framework == "tensorflow" else []
        return Clues(
            found.framework,
            tuple(dict.fromkeys(names)),
            {name: content for name, content in files.items() if isinstance(content, dict)},
            str(folder / "tfhub_module.pb") in self._files,
        )

    @staticmethod
    def _is_in(found: FoundModel, folder: PurePosixPath) -> bool:
        return PurePosixPath(found.path).is_relative_to(folder)

    def _way_out(self, path: str) -> str | None:
        """What a file is that holds a model, or a part of one, and no framework reads."""
        if PurePosixPath(path).suffix.lower() in ALSO_OTHER_FILES:
            return way_out(path, self._head(path))
        is_unreadable = path.lower().endswith(UNREADABLE)
        return way_out(path) if is_unreadable or PurePosixPath(path).name == mlmodel.NAME else None

    def _head(self, path: str) -> bytes:
        if path not in self._heads:
            self._heads[path] = paths.read_head(self.location(path), HEAD_BYTES)
        return self._heads[path]


def _learn(model: ModelDraft, types: dict[str, Type]) -> None:
    for tensor, column in model.outputs.items():
        if column in types:
            dtype, shape = types[column]
            model.types[tensor] = TensorSpec(tensor, dtype, (None, *shape))


def _harmless(models: Sequence[ModelDraft], problems: Sequence[str]) -> list[ModelDraft]:
    """The models that no problem names; the others get notes. None where none is named."""
    blamed = [model for model in models if _own(model, problems)]
    for model in blamed:
        model.notes += _notes(model, problems, _NOT_YET)
    return [model for model in models if model not in blamed] if blamed else []


def _notes(model: ModelDraft, sentences: Sequence[str], before: str) -> list[str]:
    return [f"{before}{sentence}" for sentence in _own(model, sentences)]


def _own(model: ModelDraft, sentences: Sequence[str]) -> list[str]:
    begin = f"model '{model.name}'"
    return [s.removeprefix(begin).lstrip(": ") for s in sentences if s.startswith(begin)]

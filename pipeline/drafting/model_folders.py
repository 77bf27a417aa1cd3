"""Finds the models of a folder by the paths of its files.

Models lie as ``NAME/VERSION/...``, ``NAME/...`` or as single files; folders as MLflow writes them
are models as a whole; numbered files are versions, too (``NAME/3.onnx``, ``NAME-v3.onnx``). Of
several versions the highest number that holds a model is taken. Names with a dot in front do not
count.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath

from pipeline.backends.mlflow import folder as mlflow_folder
from pipeline.backends.mlflow import mlmodel
from pipeline.batch.version_number import alone
from pipeline.drafting.recognition import (
    FRAMEWORK_SUFFIXES,
    framework_of_file,
    framework_of_folder,
)

_VERSIONED_FILE = re.compile(r"(?P<prefix>.+[-_](?=[vV]))?[vV]?(?P<number>[0-9]+(?:\.[0-9]+)*)")
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class FoundModel:
    """A model.

    Attributes:
      name: its name for the ensemble file, unique among the found models.
      framework: the framework that reads it.
      path: its file or folder, relative to the folder that was looked through; "." is that folder.
      watch: pattern under which its versions lie, relative as well; None if it has no version.
    """

    name: str
    framework: str
    path: str
    watch: str | None = None


@dataclass
class _Folder:
    files: list[str] = field(default_factory=list)
    folders: dict[str, _Folder] = field(default_factory=dict)


def find_models(
    files: Iterable[str], root_name: str, head: Callable[[str], bytes]
) -> list[FoundModel]:
    """The models among some files, sorted by path.

    Args:
      files: their paths, relative to the folder that they are in.
      root_name: the name of that folder, and of a model that fills it.
      head: path -> the first foreign_files.HEAD_BYTES bytes of a file.
    """
    root = _Folder()
    for path in files:
        *folders, name = path.split("/")
        if any(part.startswith(".") for part in (*folders, name)):
            continue
        folder = root
        for part in folders:
            folder = folder.folders.setdefault(part, _Folder())
        folder.files.append(name)
    found = _in_folder(root, PurePosixPath(), [root_name], head, is_root=True)
    return _told_apart(sorted(found, key=lambda one: one[0].path))


_Head = Callable[[str], bytes]
_Named = tuple[FoundModel, Sequence[str]]
"""A model, and the names of the folders that it is in, outermost first."""


def _in_folder(
    folder: _Folder, path: PurePosixPath, names: Sequence[str], head: _Head, *, is_root: bool
) -> Iterator[_Named]:
    """The models in a folder.

    Args:
      folder: the folder.
      path: its path.
      names: the names after which its models may be called, innermost last.
      head: reads the start of a file.
      is_root: whether it is a folder of models, whose name says nothing about a single one.
    """
    if mlmodel.NAME in folder.files:
        framework = mlflow_folder.framework_of(head(str(path / mlmodel.NAME)))
        if framework is not None:
            yield FoundModel(names[-1], framework, str(path)), names
        return  # its other files are parts of it
    if framework := framework_of_folder(folder.files):
        yield FoundModel(names[-1], framework, str(path)), names
        return
    newest = list(_newest_version(folder, path, names, head))
    yield from newest
    if newest and not is_root:
        return
    numbered = {name for name in folder.folders if alone(name) is not None}
    for name in folder.folders.keys() - numbered:
        yield from _in_folder(
            folder.folders[name], path / name, [*names, name], head, is_root=False
        )
    models = _newest_files(_model_files(folder, path, head))
    for file in models:
        called, watch = file.stem, None
        if file.number is not None:
            called = file.prefix.rstrip("-_") or names[-1]
            watch = str(path / f"{file.prefix}*{file.suffix}")
        elif not is_root:
            called = names[-1] if len(models) == 1 else f"{names[-1]}_{file.stem}"
        yield FoundModel(called, file.framework, str(path / file.name), watch), names


def _newest_version(
    folder: _Folder, path: PurePosixPath, names: Sequence[str], head: _Head
) -> Iterator[_Named]:
    """The models in the newest of the numbered folders that holds any."""
    numbered = [name for name in folder.folders if alone(name) is not None]
    for version in sorted(numbered, key=lambda name: alone(name) or (), reverse=True):
        inside = list(
            _in_folder(folder.folders[version], path / version, names, head, is_root=False)
        )
        for found, of in inside:
            yield _versioned(found, path, version, folder.folders[version]), of
        if inside:
            return


def _versioned(found: FoundModel, path: PurePosixPath, version: str, folder: _Folder) -> FoundModel:
    """A model in a version's folder: the folder itself, where it is alone of its kind there."""
    inside = PurePosixPath(found.path).relative_to(path / version)
    suffixes = FRAMEWORK_SUFFIXES.get(found.framework, ())
    fitting = [name for name in folder.files if PurePosixPath(name).suffix.lower() in suffixes]
    if fitting == [str(inside)] and found.watch is None:
        return replace(found, path=str(path / version), watch=str(path / "*"))
    return replace(found, watch=found.watch or str(path / "*" / inside))


@dataclass(frozen=True)
class _ModelFile:
    """A file with a model.

    Attributes:
      name: its name: prefix, number, suffix; or stem and suffix, where it has no number.
    """

    name: str
    framework: str

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    @property
    def prefix(self) -> str:
        match = _VERSIONED_FILE.fullmatch(self.stem)
        return (match["prefix"] or "") if match else self.stem

    @property
    def number(self) -> tuple[int, ...] | None:
        match = _VERSIONED_FILE.fullmatch(self.stem)
        return alone(match["number"]) if match else None


def _model_files(folder: _Folder, path: PurePosixPath, head: _Head) -> Iterator[_ModelFile]:
    for name in folder.files:
        if framework := framework_of_file(name, partial(head, str(path / name))):
            yield _ModelFile(name, framework)


def _newest_files(files: Iterable[_ModelFile]) -> list[_ModelFile]:
    """The files; of those that differ in their number only, the newest."""
    groups: defaultdict[tuple[str, str, bool], list[_ModelFile]] = defaultdict(list)
    for file in files:
        groups[file.prefix, file.suffix, file.number is None].append(file)
    return [max(group, key=lambda file: file.number or ()) for group in groups.values()]


def _told_apart(models: Sequence[_Named]) -> list[FoundModel]:
    """The models with names that an ensemble file can have, each once.

    If two have the same name, the folder's name is put in front, otherwise a number at the end.
    """
    taken: set[str] = set()
    found = []
    for model, names in models:
        name = usable_name(model.name)
        if name in taken and len(names) > 1:
            name = usable_name(f"{names[-2]}_{model.name}")
        number = 2
        while name in taken:
            name, number = usable_name(f"{model.name}_{number}"), number + 1
        taken.add(name)
        found.append(replace(model, name=name))
    return found


def usable_name(text: str) -> str:
    """A text as a name in the ensemble file: letters, digits, ``_.-``, no digit in front."""
    name = _NO_NAME.sub("_", text).strip("_.-") or "model"
    return name if name[0].isalpha() else f"m{name}"

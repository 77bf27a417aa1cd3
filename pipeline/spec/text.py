"""The ensemble file as text: parsed into a spec, with every mistake named by its line."""

from __future__ import annotations

import posixpath
from typing import TypeVar

from pipeline.errors import SpecError
from pipeline.spec import located_yaml
from pipeline.spec import problems as spec_problems
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.located_yaml import Document, Problem
from pipeline.spec.model import ModelSpec, PythonModel
from pipeline.spec.op import Op
from pipeline.spec.uris import plain_path, split_scheme

_Step = TypeVar("_Step", bound=Op)


def parse(text: str, *, source: str) -> EnsembleSpec:
    """Reads an ensemble file.

    Args:
      text: its content, YAML or JSON.
      source: its name in errors.

    Raises:
      SpecError: all problems of the file, in its order, each as ``source:line: where: what was
        found, what was expected``. Text that is not YAML at all has one problem.
    """
    document = located_yaml.read(text, source=source)
    if not isinstance(document.data, dict) and not document.problems:
        keys = [key for key, field in EnsembleSpec.model_fields.items() if field.is_required()]
        raise SpecError(
            f"{source}: the file holds {document.shown(())}, "
            f"expected a mapping with the keys {', '.join(keys)}"
        )
    spec, problems = spec_problems.validate(document)
    problems = [*document.problems, *_news(problems, document.problems)]
    if problems or spec is None:
        raise SpecError(_lines(problems, document, source))
    return spec


def resolve_uris(spec: EnsembleSpec, base: str) -> EnsembleSpec:
    """The spec with relative model URIs, watched patterns and named files placed under `base`.

    Absolute local paths and anything with a scheme (``gs://...``) stay as they are; ``file:///x``
    becomes ``/x``. ``..`` is resolved as text, and never leads out of a bucket or above the root.

    Args:
      spec: an ensemble.
      base: folder of the ensemble file, local or ``gs://bucket/...``.

    Raises:
      SpecError: one of them is the URI of a file on another machine.
    """
    models = tuple(_with_places_below(model, base) for model in spec.models)
    combine = tuple(_with_file_below(step, base) for step in spec.combine)
    prepare = tuple(_with_file_below(step, base) for step in spec.prepare)
    return spec.model_copy(update={"prepare": prepare, "models": models, "combine": combine})


def folder_of(location: str) -> str:
    """The folder in which relative paths of the ensemble file at `location` start."""
    return location.rpartition("/")[0] or ("/" if location.startswith("/") else ".")


def resolved(uri: str, base: str) -> str:
    """A path as the ensemble file names it, placed under `base` when it is relative.

    Args:
      uri: local path or URI.
      base: folder of the ensemble file.

    Raises:
      SpecError: it is the URI of a file on another machine.
    """
    try:
        uri = plain_path(uri)
    except ValueError as error:
        raise SpecError(str(error)) from None
    if uri.startswith("/") or split_scheme(uri)[0]:
        return uri
    scheme, rest = split_scheme(base)
    if not scheme:
        return posixpath.normpath(posixpath.join(base, uri))
    bucket, _, folder = rest.partition("/")
    return scheme + bucket + posixpath.normpath(posixpath.join("/", folder, uri))


def _with_places_below(model: ModelSpec, base: str) -> ModelSpec:
    files = "path" if isinstance(model, PythonModel) else "uri"  # whose `uri` is a class
    places: dict[str, str | None] = {key: getattr(model, key) for key in (files, "watch")}
    update = {key: place and resolved(place, base) for key, place in places.items()}
    return model.model_copy(update=update)


def _with_file_below(step: _Step, base: str) -> _Step:
    file = step.named_file
    return step if file is None else step.model_copy(update={"file": resolved(file, base)})


def _news(problems: list[Problem], known: list[Problem]) -> list[Problem]:
    """The problems that are not consequences of a known one."""
    stand_ins = [problem.at for problem in known if problem.at == problem.about]
    keys = {(problem.at, problem.about) for problem in known}
    return [
        problem
        for problem in problems
        if (problem.at, problem.about) not in keys
        and not any(problem.at[: len(path)] == path for path in stand_ins)
    ]


def _lines(problems: list[Problem], document: Document, source: str) -> list[str]:
    """One line for each problem, in the order of the file."""
    lines = []
    for problem in sorted(problems, key=lambda problem: document.place(problem.at)):
        line, _ = document.place(problem.at)
        where = spec_problems.label(problem.about, document.data)
        lines.append(f"{source}:{line}: {where + ': ' if where else ''}{problem.message}")
    return lines

"""Files that steps of the ensemble file name: read once, at launch, and shipped in the spec."""

from __future__ import annotations

import json
from typing import TypeVar

from pipeline.connectors import paths
from pipeline.core.combine_spec import CombineStep, Lookup
from pipeline.core.prepare import check_ready
from pipeline.core.prepare_spec import OneHot, PrepareStep, Tokenize
from pipeline.errors import PathError, SpecError

_S = TypeVar("_S", Lookup, OneHot)

_MAX_TOKENIZER_CHARS = 8 << 20


def with_labels(step: CombineStep, source: str) -> CombineStep:
    """A combine step with the content of the file that it names, if it names one.

    Args:
      step: its file made absolute.
      source: the ensemble file, for messages.

    Raises:
      SpecError: the file cannot be read, or holds something else.
    """
    if not isinstance(step, Lookup):
        return step
    return _with_labels(step, f"{source}: combine step '{step.column}'", {str})


def prepared_step(step: PrepareStep, source: str) -> PrepareStep:
    """A prepare step that can run: with the content of its file, and its packages here.

    Args:
      step: its file made absolute.
      source: the ensemble file, for messages.

    Raises:
      SpecError: the file cannot be read or holds something else, or a package is missing.
    """
    where = f"{source}: prepare step '{step.column}'"
    if isinstance(step, OneHot):
        step = _with_labels(step, where, {str, int})
    elif isinstance(step, Tokenize) and step.file is not None:
        text = _read(step.file, where)
        if len(text) > _MAX_TOKENIZER_CHARS:
            raise SpecError(
                f"{where}: {step.file} holds {len(text):,} characters, expected at most "
                f"{_MAX_TOKENIZER_CHARS:,}: it travels with the job"
            )
        step = step.model_copy(update={"tokenizer": text, "file": None})
    try:
        check_ready(step)
    except SpecError as error:
        raise SpecError(f"{source}: {error}") from error
    return step


def _with_labels(step: _S, where: str, kinds: set[type]) -> _S:
    if step.file is None:
        return step
    text = _read(step.file, where)
    try:
        labels = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    except json.JSONDecodeError:
        labels = []
    found = {type(label) for label in labels}
    if len(found) != 1 or not found <= kinds:
        raise SpecError(f"{where}: {step.file} must hold one label a line, or a JSON list of texts")
    if isinstance(step, OneHot) and len(set(labels)) < len(labels):
        raise SpecError(f"{where}: {step.file} holds a label twice")
    return step.model_copy(update={"labels": tuple(labels), "file": None})


def _read(file: str, where: str) -> str:
    try:
        return paths.read_text(file)
    except PathError as error:
        raise SpecError(f"{where}: {error}") from error

"""Files that steps of the ensemble file name: read once, at launch, and shipped in the spec."""

from __future__ import annotations

from typing import TypeVar

from pipeline.connectors.storage import paths
from pipeline.errors import PathError, SpecError
from pipeline.ops.step import check_ready
from pipeline.spec.combine import CombineStep
from pipeline.spec.prepare import PrepareStep

_S = TypeVar("_S", PrepareStep, CombineStep)


def ready_step(step: _S, source: str) -> _S:
    """A step that can run: with the content of the file that it names, and its packages here.

    Args:
      step: its file made absolute.
      source: the ensemble file, for messages.

    Raises:
      SpecError: the file cannot be read or holds something else, or a package is missing.
    """
    if step.named_file is not None:
        where = f"{source}: {step.title}"
        try:
            step = step.with_file_text(paths.read_text(step.named_file))
        except PathError as error:
            raise SpecError(f"{where}: {error}") from error
        except ValueError as problem:
            raise SpecError(f"{where}: {step.named_file} {problem}") from problem
    try:
        check_ready(step)
    except SpecError as error:
        raise SpecError(f"{source}: {error}") from error
    return step

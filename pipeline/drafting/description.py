"""What a model says of its tensors, without an entry of an ensemble file, for all backends.

The model is loaded with an entry that binds nothing (:func:`pipeline.spec.model.unbound`), so
its servable's signature lists everything, and then released.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backends import registry
from pipeline.backends.base import LoadContext
from pipeline.backends.transformers.files import task_of
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import UntrustedArtifactError
from pipeline.spec.model import unbound

_BY_POSITION = re.compile(r"output_\d+")


@dataclass(frozen=True)
class ModelDescription:
    """The known facts about a model.

    Attributes:
      keys: the keys that its entry must have besides names, such as `task`.
      inputs, outputs: its tensors; None if the format does not list them.
      optional: inputs that need not be bound.
      takes_examples: whether it parses serialized tf.Example messages itself.
    """

    keys: Mapping[str, Any]
    inputs: tuple[TensorSpec, ...] | None
    outputs: tuple[TensorSpec, ...] | None
    optional: frozenset[str]
    takes_examples: bool = False


def description_of(framework: str, path: Path, *, trusted: bool = False) -> ModelDescription:
    """Loads a model on the CPU, and returns its description.

    Args:
      framework: one of registry.FRAMEWORKS, except python.
      path: its file or folder.
      trusted: whether to load files that need ``trusted: true``.

    Raises:
      UntrustedArtifactError: it could run code or touch files, and is not trusted.
      LoadError: the framework cannot load it.
    """
    keys: dict[str, Any] = {}
    if framework == "transformers":
        keys["task"] = task_of(path) or "feature-extraction"
    context = LoadContext("cpu", intra_op_threads=1)
    load = registry.backend(framework).load
    try:
        servable = load(path, unbound(framework, str(path), **keys), context)
    except UntrustedArtifactError as error:
        if not trusted or not error.names_a_way:
            raise
        keys["trusted"] = True
        servable = load(path, unbound(framework, str(path), **keys), context)
    signature = servable.signature
    servable.close()
    return ModelDescription(
        keys,
        signature.inputs,
        _named(signature.outputs),
        signature.optional,
        signature.takes_examples,
    )


def _named(outputs: tuple[TensorSpec, ...] | None) -> tuple[TensorSpec, ...] | None:
    """The outputs without their names by position, if they have names of their own as well."""
    named = tuple(o for o in outputs or () if not _BY_POSITION.fullmatch(o.name))
    return named or outputs

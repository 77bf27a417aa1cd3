"""What a model says of its tensors, without an entry of an ensemble file: one way for all backends.

The model is loaded with an entry that binds nothing (:func:`pipeline.core.model_spec.unbound`), so
its servable's signature lists everything, and is let go again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backends import registry
from pipeline.backends.base import LoadContext
from pipeline.backends.transformers_files import task_of
from pipeline.core.model_spec import unbound
from pipeline.core.tensors import TensorSpec
from pipeline.errors import UntrustedArtifactError

_BY_POSITION = re.compile(r"output_\d+")


@dataclass(frozen=True)
class Description:
    """What is known of a model.

    Attributes:
      keys: what its entry must say besides names, such as `task`.
      inputs, outputs: its tensors; None where the format does not list them.
      optional: inputs that need not be bound.
      takes_examples: whether it parses serialized tf.Example messages itself.
    """

    keys: Mapping[str, Any]
    inputs: tuple[TensorSpec, ...] | None
    outputs: tuple[TensorSpec, ...] | None
    optional: frozenset[str]
    takes_examples: bool = False


def describe(framework: str, path: Path, *, trusted: bool = False) -> Description:
    """Loads a model on the CPU, and tells its tensors.

    Args:
      framework: one of registry.FRAMEWORKS, but python.
      path: its file or folder.
      trusted: load also what needs ``trusted: true``, which runs code that the file carries.

    Raises:
      UntrustedArtifactError: it would run code, and is not trusted.
      LoadError: the framework cannot load it.
    """
    keys: dict[str, Any] = {}
    if framework == "transformers":
        keys["task"] = task_of(path) or "feature-extraction"
    context = LoadContext("cpu", intra_op_threads=1)
    load = registry.backend(framework).load
    try:
        servable = load(path, unbound(framework, str(path), **keys), context)
    except UntrustedArtifactError:
        if not trusted or framework != "sklearn":
            raise
        keys["trusted"] = True
        servable = load(path, unbound(framework, str(path), **keys), context)
    signature = servable.signature
    servable.close()
    return Description(
        keys,
        signature.inputs,
        _named(signature.outputs),
        signature.optional,
        signature.takes_examples,
    )


def _named(outputs: tuple[TensorSpec, ...] | None) -> tuple[TensorSpec, ...] | None:
    """The outputs without names by position, where they have names of their own as well."""
    named = tuple(o for o in outputs or () if not _BY_POSITION.fullmatch(o.name))
    return named or outputs

"""What a model says of its tensors, without an entry of an ensemble file, for all backends.

The model is loaded with an entry that binds nothing (:func:`pipeline.spec.model.unbound`), so
its servable's signature lists everything, and then released. A damaged file may end the process
that loads it, so this is done in one that may die of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from pipeline.backends import registry
from pipeline.backends.base import LoadContext, Servable
from pipeline.backends.failures import loading
from pipeline.backends.transformers.files import check_folder
from pipeline.backends.transformers.tasks.table import task_of
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import ArtifactError, EnsembleError, ModelError, UntrustedArtifactError
from pipeline.serving.trial.apart import Tell, TrialLimits, answer_of
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
      key_notes: key -> what a reader should know of its value.
    """

    keys: Mapping[str, Any]
    inputs: tuple[TensorSpec, ...] | None
    outputs: tuple[TensorSpec, ...] | None
    optional: frozenset[str]
    takes_examples: bool = False
    key_notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Described:
    """A model that was to be described.

    Attributes:
      description: None where it cannot be.
      problem: why not.
      needs_trust: it would run code, and can be read where that is allowed.
    """

    description: ModelDescription | None
    problem: str = ""
    needs_trust: bool = False


@dataclass(frozen=True)
class Descriptions:
    """The answer to DescriptionTask: those of its models, in its order."""

    models: tuple[Described, ...]

    wire_form: ClassVar[str] = "descriptions/1"


@dataclass(frozen=True)
class ModelFile:
    """A model to be described.

    Attributes:
      name: for messages.
      framework: one of registry.FRAMEWORKS, except python.
      path: its file or folder.
    """

    name: str
    framework: str
    path: Path


@dataclass(frozen=True)
class DescriptionTask:
    """A task for a process of its own (see `serving.trial`).

    Attributes:
      models: to be described.
      trusted: whether to load files that need ``trusted: true`` and may run code.
    """

    models: tuple[ModelFile, ...]
    trusted: bool

    @property
    def on_cpu(self) -> bool:
        """See Task."""
        return True

    @property
    def frameworks(self) -> list[str]:
        """See Task."""
        return [model.framework for model in self.models]

    def answer(self, tell: Tell) -> Descriptions:
        """Describes each."""
        described = []
        for number, model in enumerate(self.models, start=1):
            what = f"model '{model.name}' ({model.framework}), {number} of {len(self.models)}"
            tell(model=model.name, say=f"reading {what}")
            described.append(self._described(model))
        return Descriptions(tuple(described))

    def _described(self, model: ModelFile) -> Described:
        try:
            return Described(description_of(model.framework, model.path, trusted=self.trusted))
        except UntrustedArtifactError as error:
            return Described(None, str(error), error.names_a_way)
        except EnsembleError as error:
            return Described(None, str(error))


def described_apart(
    models: Sequence[ModelFile], limits: TrialLimits, say: Callable[[str], None], *, trusted: bool
) -> list[Described]:
    """The descriptions of models, made by a process that may die of it.

    Args:
      models: they come in the same order.
      limits: of that process. Without seconds this process does it.
      say: told what is being done.
      trusted: see DescriptionTask.
    """
    task = DescriptionTask(tuple(models), trusted)
    if not limits.cpu_secs:
        return list(task.answer(_telling(say)).models)
    try:
        within = limits.for_models(model.path for model in models)
        return list(answer_of(task, Descriptions, within, say).models)
    except (ArtifactError, ModelError) as error:
        if len(models) == 1:
            return [Described(None, str(error))]
    # Which one it was is only sure where each is alone: damage may harm what is loaded later.
    say("each model is read in a process of its own")
    alone = (described_apart([model], limits, say, trusted=trusted) for model in models)
    return [one for some in alone for one in some]


def _telling(hear: Callable[[str], None]) -> Tell:
    def tell(*, model: str = "", say: str = "") -> None:
        hear(say)

    return tell


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
    notes: dict[str, str] = {}
    if framework == "transformers":
        registry.backend(framework).start()
        check_folder(path)
        keys["task"], notes["task"] = task_of(path)
    opened = partial(_opened, framework, path)
    try:
        servable = opened(**keys)
    except UntrustedArtifactError as error:
        if not trusted or not error.names_a_way:
            raise
        keys["trusted"] = True
        notes["trusted"] = "this file may run code when it is loaded"
        servable = opened(**keys)
    signature = servable.signature
    servable.close()
    for tensor in signature.inputs or ():
        if tensor.name == "sampling_rate" and tensor.only is not None:
            keys["sampling_rate"] = tensor.only
            notes["sampling_rate"] = "what the model was trained with; waveforms must have it"
    return ModelDescription(
        keys,
        signature.inputs,
        _named(signature.outputs),
        signature.optional,
        signature.takes_examples,
        notes,
    )


def _opened(framework: str, path: Path, **keys: Any) -> Servable:
    context = LoadContext("cpu", intra_op_threads=1)
    with loading(path, f"a model of the framework '{framework}'"):
        return registry.load(path, unbound(framework, str(path), **keys), context)


def _named(outputs: tuple[TensorSpec, ...] | None) -> tuple[TensorSpec, ...] | None:
    """The outputs without their names by position, if they have names of their own as well."""
    named = tuple(o for o in outputs or () if not _BY_POSITION.fullmatch(o.name))
    return named or outputs

"""The entry of `framework: transformers`: its tasks, and the keys that each of them has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from pipeline.spec.entries.entry import ModelEntry

_TEXT = ("max_length", "truncation")


@dataclass(frozen=True)
class TaskText:
    """What the ensemble file can say of a task; the documents show it as it is here.

    Attributes:
      inputs, outputs: its tensors.
      options: keys of the entry that it has besides those of every task.
    """

    inputs: str
    outputs: str
    options: tuple[str, ...] = ()


_CLASSES = "`logits`, `probs` (float32 [labels]), `label`"

TASKS: Mapping[str, TaskText] = {
    "feature-extraction": TaskText(
        "`text`", "`embedding` (mean over the tokens), `cls` (first token): float32 [width]", _TEXT
    ),
    "text-classification": TaskText("`text`; `text_pair`, if bound", _CLASSES, _TEXT),
    "image-classification": TaskText("`image`, uint8 [height, width, 3]", _CLASSES),
}
"""Task -> its text."""

TaskName = Literal["feature-extraction", "text-classification", "image-classification"]


class TransformersModel(ModelEntry):
    """A folder as `save_pretrained` writes it, with safetensors; inputs and outputs go by `task`.

    Example::

        - name: embedder
          framework: transformers
          uri: models/minilm/1
          task: feature-extraction
          inputs: {text: review}
          outputs: {embedding: review_embedding}
    """

    framework: Literal["transformers"]
    task: TaskName = Field(
        description="What the model does; each task has inputs, outputs and keys of its own."
    )
    max_length: int | None = Field(
        default=None,
        ge=2,
        description="Most tokens of a text. Default: what the model can take.",
    )
    truncation: Literal["cut", "error"] = Field(
        default="cut",
        description="What becomes of longer texts: they are cut, or `error`: a dead letter each.",
    )

    @model_validator(mode="after")
    def _options_are_of_the_task(self) -> TransformersModel:
        options = TASKS[self.task].options
        every = {*ModelEntry.model_fields, "framework", "task"}
        for key in type(self).model_fields:
            if key in self.model_fields_set and key not in every and key not in options:
                has = f"has {', '.join(options)}" if options else "has no keys of its own"
                raise ValueError(f"key '{key}' has no use with `task: {self.task}`, which {has}")
        return self

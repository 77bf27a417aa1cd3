"""The entry of `framework: transformers`: its tasks, and the keys that each of them has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator, model_validator

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
    "sentence-embedding": TaskText(
        "`text`",
        "`embedding`, float32 [width], as sentence-transformers' `encode` makes it: by the "
        "folder's `modules.json` (Transformer, Pooling, Dense, LayerNorm, Normalize), "
        "`max_seq_length` and default prompt",
        (*_TEXT, "prompt"),
    ),
    "text-classification": TaskText("`text`; `text_pair`, if bound", _CLASSES, _TEXT),
    "zero-shot-classification": TaskText(
        "`text`; `labels`, string [any]: a column, or `{value: [...], dtype: string}`",
        "`labels`, `scores` (float32), the likeliest first: lists of as many; `label`",
        (*_TEXT, "hypothesis_template", "multi_label"),
    ),
    "image-classification": TaskText("`image`, uint8 [height, width, 3]", _CLASSES),
}
"""Task -> its text."""

TaskName = Literal[
    "feature-extraction",
    "sentence-embedding",
    "text-classification",
    "zero-shot-classification",
    "image-classification",
]


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
    prompt: str | None = Field(
        default=None,
        description="Name of the prompt that is put before each text, one of those in "
        "`config_sentence_transformers.json`. Default: the folder's.",
    )
    hypothesis_template: str = Field(
        default="This example is {}.",
        description="The sentence made of each label, `{}`, whose truth the model tells.",
    )
    multi_label: bool = Field(
        default=False,
        description="`true`: each label is true or not by itself. Otherwise one of them is.",
    )

    @field_validator("hypothesis_template")
    @classmethod
    def _has_a_place(cls, template: str) -> str:
        try:
            same = template.format("a") == template.format("b")
        except (ValueError, LookupError, AttributeError):
            same = True
        if same:
            raise ValueError(f"found '{template}', expected a sentence with '{{}}' for the label")
        return template

    @model_validator(mode="after")
    def _options_are_of_the_task(self) -> TransformersModel:
        options = TASKS[self.task].options
        every = {*ModelEntry.model_fields, "framework", "task"}
        for key in type(self).model_fields:
            if key in self.model_fields_set and key not in every and key not in options:
                has = f"has {', '.join(options)}" if options else "has no keys of its own"
                raise ValueError(f"key '{key}' has no use with `task: {self.task}`, which {has}")
        return self

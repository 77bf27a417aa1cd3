"""The entry of `framework: transformers`: its tasks, and the keys that each of them has."""

from __future__ import annotations

from string import Formatter
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.spec.entries.entry import ModelEntry
from pipeline.spec.entries.tasks import GENERATE, SAMPLE, TASKS, TaskName


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
        description="What becomes of longer texts, or waveforms: they are cut, or `error`: a dead "
        "letter each.",
    )
    compile: bool = Field(
        default=False,
        description="`true`: PyTorch's compiler makes a program of the model when it is loaded, in "
        "seconds to minutes, before it serves. Needs a C++ compiler (g++) where the job runs, "
        "which the image does not have; refused without one.",
    )
    prompt: str | None = Field(
        default=None,
        description="Name of the prompt that is put before each text, one of those in "
        "`config_sentence_transformers.json`. Default: the folder's.",
    )
    hypothesis_template: str | None = Field(
        default=None,
        description="The sentence made of each label, `{}`, whose truth the model tells. Default: "
        "`This example is {}.`, of pictures `This is a photo of {}.`",
    )
    multi_label: bool = Field(
        default=False,
        description="`true`: each label is true or not by itself. Otherwise one of them is.",
    )

    aggregation: Literal["none", "simple", "first", "average", "max"] = Field(
        default="simple",
        description="How tokens become entities, as in transformers' pipeline: `none` (each by "
        "itself), `simple` (neighbours of one label), or words by their `first` token, the "
        "`average` or the `max` of their tokens' scores.",
    )
    doc_stride: int | None = Field(
        default=None,
        ge=0,
        description="Tokens that two windows of a long context have in common. Default: 128, or "
        "half of the window.",
    )
    max_answer_length: int = Field(default=15, ge=1, description="Most tokens of an answer.")
    impossible_answer: bool = Field(
        default=False,
        description="`true`: the answer may be empty, where the model finds none likelier.",
    )
    top_k: int | None = Field(
        default=None,
        ge=0,
        description="Tokens that are told for a mask (default: 5), or with `do_sample` the "
        "likeliest ones, of which one is drawn (default: 50; 0: all).",
    )
    threshold: float = Field(
        default=0.5, ge=0, le=1, description="What is seen is told if its score is above it."
    )
    sampling_rate: int | None = Field(
        default=None,
        ge=1,
        description="Of all waveforms, samples a second: that which the model was trained with, "
        "else the launch is refused. Or bind the input `sampling_rate` to a column: a waveform "
        "with another one is a dead letter.",
    )
    long_form: bool = Field(
        default=False,
        description="`true`: Whisper reads waveforms of more than 30 seconds, part by part. "
        "Without it, they are dead letters.",
    )
    language: str | None = Field(
        default=None,
        description="What is spoken, such as `en`, for a Whisper of many languages. Without it, "
        "the model finds it out for each waveform.",
    )
    translate: bool = Field(
        default=False, description="`true`: such a Whisper writes it in English."
    )
    prefix: str | None = Field(
        default=None,
        description="Put before each text. Default: what `task_specific_params` of the folder's "
        "config.json says for `summarization` or for the two languages, as T5 has it.",
    )
    source_language: str | None = Field(
        default=None,
        description="Code of the texts' language, as the model names it: `en` (T5), `eng_Latn`.",
    )
    target_language: str | None = Field(
        default=None, description="Code of the language to translate to."
    )
    template: str = Field(
        default="{text}",
        description="The prompt, with the names of inputs in braces: `Review: {review}`. A brace "
        "itself is written twice.",
    )
    chat: bool = Field(
        default=False,
        description="`true`: the prompt is what a user says, put into the folder's chat template.",
    )
    system: str | None = Field(
        default=None, description="With `chat`: what the system says before the user."
    )
    stop: tuple[str, ...] = Field(
        default=(), description="Texts after which a model stops; they stand at the end."
    )
    max_new_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Most tokens that are written. Default of this and the next keys: what the "
        "folder's `generation_config.json` says, else transformers' own (20 tokens, no beams).",
    )
    min_new_tokens: int | None = Field(default=None, ge=0, description="Fewest tokens of it.")
    num_beams: int | None = Field(
        default=None, ge=1, description="Texts that are followed at a time; 1: greedy."
    )
    num_return_sequences: int | None = Field(
        default=None, ge=1, description="Texts of a row, the best first; at most `num_beams`."
    )
    length_penalty: float | None = Field(
        default=None, description="With beams: above 0 prefers longer texts, below 0 shorter ones."
    )
    repetition_penalty: float | None = Field(
        default=None, gt=0, description="Above 1: tokens that are there already are less likely."
    )
    no_repeat_ngram_size: int | None = Field(
        default=None, ge=0, description="So many tokens in a row occur once only; 0: any number."
    )
    do_sample: bool | None = Field(
        default=None,
        description="`true`: tokens are drawn by chance, which the record's id decides: its retry "
        "gets the same text. Where the folder's `generation_config.json` says so, the entry must "
        "say which it is.",
    )
    temperature: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="With `do_sample`: below 1, likely tokens are drawn more often. Default of "
        "this and the next key: the folder's, else 1.",
    )
    top_p: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="With `do_sample`: the likeliest tokens that together have this probability.",
    )

    @field_validator("template")
    @classmethod
    def _names_inputs(cls, template: str) -> str:
        try:
            parsed = Formatter().parse(template)
            parts = [(name, form, how) for _, name, form, how in parsed if name is not None]
        except ValueError as error:
            raise ValueError(f"found '{template}': {error}") from None
        if not parts or not all(
            name.isidentifier() and not form and not how for name, form, how in parts
        ):
            raise ValueError(
                f"found '{template}', expected a text with names of inputs in braces, such as "
                "'Review: {review}'"
            )
        return template

    @field_validator("hypothesis_template")
    @classmethod
    def _has_a_place(cls, template: str | None) -> str | None:
        if template is not None and "{}" not in template:
            raise ValueError(f"found '{template}', expected a sentence with '{{}}' for the label")
        return template

    @property
    def keyed(self) -> bool:
        """See ModelEntry: tokens are drawn by the id of their record."""
        return bool(self.do_sample)

    @model_validator(mode="after")
    def _draws_without_beams(self) -> TransformersModel:
        draws = set(SAMPLE) <= set(TASKS[self.task].options)
        if self.do_sample and not draws:
            raise ValueError(
                f"found do_sample true, which `task: {self.task}` does not know; expected false"
            )
        if self.do_sample and (self.num_beams or 1) > 1:
            raise ValueError(
                f"found do_sample true and num_beams {self.num_beams}; expected one of them: beams "
                "are followed without chance"
            )
        for key in SAMPLE if draws and not self.do_sample else ():
            if getattr(self, key) is not None:
                raise ValueError(f"key '{key}' has no use without `do_sample: true`")
        if self.task == "fill-mask" and self.top_k == 0:
            raise ValueError("found top_k 0, expected at least 1")
        return self

    @model_validator(mode="after")
    def _returns_beams(self) -> TransformersModel:
        beams = None if self.do_sample else self.num_beams
        if beams is not None and (self.num_return_sequences or 1) > beams:
            raise ValueError(
                f"found num_return_sequences {self.num_return_sequences}, expected at most "
                f"num_beams, {beams}"
            )
        return self

    @property
    def generate_options(self) -> dict[str, Any]:
        """The arguments of transformers' `generate` that the entry has."""
        options = {key: getattr(self, key) for key in GENERATE}
        return {key: value for key, value in options.items() if value is not None}

    @model_validator(mode="after")
    def _options_are_of_the_task(self) -> TransformersModel:
        options = TASKS[self.task].options
        every = {*ModelEntry.model_fields, "framework", "task"}
        for key in type(self).model_fields:
            if key in self.model_fields_set and key not in every and key not in options:
                has = f"has {', '.join(options)}" if options else "has no keys of its own"
                raise ValueError(f"key '{key}' has no use with `task: {self.task}`, which {has}")
        return self

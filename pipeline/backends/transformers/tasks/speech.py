"""Waveforms to what is said in them: letter by letter (CTC), or as Whisper writes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.transformers.tasks.generation import Writer
from pipeline.backends.transformers.tasks.task import Network, Task
from pipeline.backends.transformers.tasks.texts import read_tokenizer
from pipeline.backends.transformers.tasks.waveforms import (
    Prepared,
    Waveforms,
    refuse_language_model,
    stacked,
)
from pipeline.batch.columns import Array, Column
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import LoadError
from pipeline.spec.model import TransformersModel

_OUTPUTS = (TensorSpec("text", "string", (None,)),)
_OF_PIPELINE = {"max_new_tokens": 256, "num_beams": 5}
"""What transformers' pipeline has where neither the folder nor the caller says it."""
_SHOWN = 5


def open_letters(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`automatic-speech-recognition` by a model that gives a letter, or none, for each moment."""
    refuse_language_model(path)
    for key in ("long_form", "language", "translate", *spec.generate_options):
        if key in spec.model_fields_set:
            raise LoadError(
                f"{path}: found the key `{key}`, but a {type(network.model).__name__} gives a "
                "letter for each moment, and writes no text; expected a Whisper for this key"
            )
    waveforms, tokenizer = Waveforms(path, spec, cut=False), read_tokenizer(path)

    def compute(
        network: Network, arguments: Mapping[str, Any], wanted: Collection[str]
    ) -> dict[str, Column]:
        ids = network.arrays({"ids": network(arguments).logits.argmax(-1)})["ids"]
        return {"text": np.array([tokenizer.decode(row) for row in ids], dtype=object)}

    return Task(
        inputs=waveforms.tensors,
        outputs=_OUTPUTS,
        prepare=lambda inputs: stacked(waveforms.prepared(inputs, return_attention_mask=True)),
        compute=compute,
        optional=waveforms.optional,
    )


def open_whisper(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`automatic-speech-recognition` by a model that writes, half a minute at a time."""
    waveforms = Waveforms(path, spec, cut=False)
    options = _options(path, spec, network.model.generation_config)
    writer = Writer(path, spec, network, read_tokenizer(path), options)

    def prepare(inputs: Mapping[str, Array]) -> list[Prepared]:
        samples = inputs["waveform"].shape[1]
        how: dict[str, Any] = {"return_attention_mask": True}
        if waveforms.most is not None and samples > waveforms.most:
            if not spec.long_form:
                waveforms.refuse_long(samples, "`long_form: true` reads it part by part")
            how |= {"truncation": False, "padding": "longest"}
        return waveforms.prepared(inputs, **how)

    def compute(
        network: Network, rows: list[Prepared], wanted: Collection[str]
    ) -> dict[str, Column]:
        # The parts of a long one begin where its last sentence ended: they are its own.
        groups = [[row] for row in rows] if spec.long_form else [rows]
        texts = [writer.written(network, network.moved(stacked(group))) for group in groups]
        return {"text": np.concatenate(texts)[:, 0]}

    return Task(
        inputs=waveforms.tensors,
        outputs=_OUTPUTS,
        prepare=prepare,
        compute=compute,
        optional=waveforms.optional,
    )


def _options(path: Path, spec: TransformersModel, config: Any) -> dict[str, Any]:
    """Arguments of `generate` beside those of the entry.

    Raises:
      LoadError: the model does not know the language, or has only one.
    """
    said = config.to_diff_dict()
    options: dict[str, Any] = {key: value for key, value in _OF_PIPELINE.items() if key not in said}
    if "max_length" in said:
        options.pop("max_new_tokens", None)
    if spec.long_form and getattr(config, "no_timestamps_token_id", None) is None:
        raise LoadError(
            f"{path} has no `no_timestamps_token_id` in generation_config.json, by which the parts "
            "of a long waveform are told; expected it for `long_form: true`"
        )
    if spec.long_form:
        options["return_timestamps"] = True
    languages = getattr(config, "lang_to_id", None) or {}
    for key in ("language", "translate"):
        if getattr(spec, key) and not languages:
            raise LoadError(
                f"{path} has one language (no `lang_to_id` in generation_config.json), so the key "
                f"`{key}` has no use"
            )
    if spec.language is not None:
        if f"<|{spec.language}|>" not in languages:
            known = ", ".join(name.strip("<|>") for name in list(languages)[:_SHOWN])
            raise LoadError(f"{path} has no language '{spec.language}'; it has {known}, ...")
        options["language"] = spec.language
    if spec.translate:
        options["task"] = "translate"
    return options

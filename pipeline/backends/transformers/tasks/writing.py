"""Texts to texts: translations, summaries, answers, and prompts that are continued."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from string import Formatter
from typing import Any

from pipeline.backends.reasons import own_words
from pipeline.backends.transformers.tasks.generation import Writer
from pipeline.backends.transformers.tasks.sampling import record_keys
from pipeline.backends.transformers.tasks.task import Network, Task
from pipeline.backends.transformers.tasks.texts import Encoded, Texts, cut_rows, strings
from pipeline.batch.columns import Array, Column
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import LoadError
from pipeline.spec.entries.entry import RECORD_KEY
from pipeline.spec.model import TransformersModel

_READ = ("input_ids", "attention_mask")
_SHOWN = 5
_APART = 0.1
"""Scores that differ by more of the largest one do so not by rounding, even in half precision."""


def open_text_to_text(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`text2text-generation`, `summarization` and `translation`, by an encoder and a decoder.

    Of the last two, config.json may have a prefix and options (`task_specific_params`).
    """
    texts = Texts(path, spec, network.model)
    usual = _usual_options(path, spec, network.config, texts.tokenizer)
    prefix = usual.pop("prefix", "") if spec.prefix is None else spec.prefix
    usual.pop("prefix", None)
    writer = Writer(path, spec, network, texts.tokenizer, usual)

    def prepare(inputs: Mapping[str, Array]) -> Encoded:
        return _keyed(texts.encode([prefix + text for text in strings(inputs["text"])]), inputs)

    def compute(network: Network, rows: Encoded, wanted: Collection[str]) -> dict[str, Column]:
        def call(group: Encoded) -> dict[str, Array]:
            arguments = _arguments(network, texts, group)
            return {"texts": writer.written(network, arguments, keys=_keys(group))}

        return writer.columns(texts.in_groups(rows, call, calls=writer.new_tokens)["texts"])

    inputs = (TensorSpec("text", "string", (None,)),)
    try_out = partial(_try_rows, path, texts, writer)
    return Task(inputs, writer.outputs, prepare, compute, cut=cut_rows, try_out=try_out)


def open_continuation(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`text-generation`: prompts, made of columns, and what the model writes after them."""
    texts = Texts(path, spec, network.model, left=True)
    writer = Writer(path, spec, network, texts.tokenizer)
    _check_totals(path, spec, network.model.generation_config)
    texts.leave_room(path, writer.new_tokens)
    names = _names(spec.template)
    if spec.chat and texts.tokenizer.chat_template is None:
        raise LoadError(
            f"{path} has no chat template, as chat_template.jinja or in tokenizer_config.json; "
            "expected one for `chat: true`"
        )
    if spec.chat:
        _try_template(path, texts.tokenizer, spec.system)
    begin = network.model.generation_config.bos_token_id

    def prepare(inputs: Mapping[str, Array]) -> Encoded:
        columns = [strings(inputs[name]) for name in names]
        prompts = [
            spec.template.format(**dict(zip(names, row, strict=True)))
            for row in zip(*columns, strict=True)
        ]
        if spec.chat:
            prompts = [_said(texts.tokenizer, spec.system, prompt) for prompt in prompts]
        rows = texts.encode(prompts, special=not spec.chat)
        # Without any token, generation starts from the first one of all texts.
        empty = {"input_ids": [begin], "attention_mask": [1]}
        return _keyed([row if row["input_ids"] else dict(empty) for row in rows], inputs)

    def compute(network: Network, rows: Encoded, wanted: Collection[str]) -> dict[str, Column]:
        def call(group: Encoded) -> dict[str, Array]:
            arguments = _arguments(network, texts, group)
            given = arguments["input_ids"].shape[1]
            return {"texts": writer.written(network, arguments, skip=given, keys=_keys(group))}

        return writer.columns(texts.in_groups(rows, call, calls=writer.new_tokens)["texts"])

    inputs = tuple(TensorSpec(name, "string", (None,)) for name in names)
    try_out = partial(_try_rows, path, texts, writer)
    return Task(inputs, writer.outputs, prepare, compute, cut=cut_rows, try_out=try_out)


def _check_totals(path: Path, spec: TransformersModel, config: Any) -> None:
    """Refuses limits that count a prompt too: filled up, it would be longer in other company."""
    for total, own in (("max_length", "max_new_tokens"), ("min_length", "min_new_tokens")):
        if getattr(config, total) and not getattr(config, own) and getattr(spec, own) is None:
            raise LoadError(
                f"{path / 'generation_config.json'} has `{total}`, which counts the prompt; "
                f"expected the key `{own}` in the model's entry"
            )


def _try_rows(path: Path, texts: Texts, writer: Writer, network: Network) -> None:
    """Tries whether rows can be filled up, and if not, whether those of one length can be together.

    Raises:
      LoadError: they cannot, as those of RWKV in some versions of transformers.
    """

    def call(rows: Encoded) -> Any:
        return writer.scores(network, _arguments(network, texts, rows))

    texts.try_padding(network, call)
    row = texts.made_up()
    if texts.pads or not row["input_ids"]:
        return
    found = float((call([row, row]) - call([row])).abs().max())
    if not found <= _APART:
        raise LoadError(
            f"{path} writes other tokens for a text beside another one than for the text alone "
            f"(scores differ by {found:.0%} of the largest one), expected a model that does not"
        )


def _arguments(network: Network, texts: Texts, rows: Encoded) -> dict[str, Any]:
    padded = texts.padded(rows)
    return network.moved({name: padded[name] for name in _READ if name in padded})


def _keyed(rows: Encoded, inputs: Mapping[str, Array]) -> Encoded:
    """Rows with the ids of their records, where the call has them."""
    keys = record_keys(inputs)
    for row, key in zip(rows, keys, strict=True) if keys else ():
        row[RECORD_KEY] = list(key.encode(errors="surrogatepass"))
    return rows


def _keys(rows: Encoded) -> list[str]:
    return [bytes(row.get(RECORD_KEY, ())).decode(errors="surrogatepass") for row in rows]


def _names(template: str) -> list[str]:
    """The places of a template, each once."""
    return list(dict.fromkeys(name for _, name, _, _ in Formatter().parse(template) if name))


def _said(tokenizer: Any, system: str | None, prompt: str) -> str:
    """A prompt as the model's chat template writes it, up to where the model answers."""
    messages = [{"role": "system", "content": system}] if system is not None else []
    messages.append({"role": "user", "content": prompt})
    said: str = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return said


def _try_template(path: Path, tokenizer: Any, system: str | None) -> None:
    """Fills the chat template once.

    Raises:
      LoadError: it is broken, has no default, or does not take what the system says.
    """
    try:
        _said(tokenizer, system, "a")
    except Exception as error:  # what a template raises is up to it
        way_out = "one for a user's text" if system is None else "one that takes `system`"
        raise LoadError(
            f"{path} has a chat template that does not work ({own_words(error)}); expected "
            f"{way_out}"
        ) from error


def _usual_options(
    path: Path, spec: TransformersModel, config: Any, tokenizer: Any
) -> dict[str, Any]:
    """Prefix and options that a folder has for the task, or for the two languages.

    Raises:
      LoadError: languages are missing, not known, or there is nothing to choose.
    """
    own = getattr(config, "task_specific_params", None) or {}
    if spec.task == "summarization":
        return dict(own.get("summarization") or {})
    source, target = spec.source_language, spec.target_language
    if spec.task != "translation":
        return {}
    if getattr(tokenizer, "src_lang", None) is not None:
        if source is None or target is None:
            raise LoadError(
                f"{path} translates between many languages, expected the keys `source_language` "
                f"and `target_language`, such as {tokenizer.src_lang}"
            )
        for language in (source, target):
            if tokenizer.convert_tokens_to_ids(language) in (None, tokenizer.unk_token_id):
                known = ", ".join(tokenizer.all_special_tokens[-_SHOWN:])
                raise LoadError(f"{path} has no language '{language}'; it has {known}, ...")
        tokenizer.src_lang = source
        return {"forced_bos_token_id": tokenizer.convert_tokens_to_ids(target)}
    if source is None and target is None:
        return {}
    named = f"translation_{source}_to_{target}"
    if named not in own:
        known = ", ".join(name for name in own if name.startswith("translation_")) or "none"
        raise LoadError(
            f"{path} has no '{named}' in `task_specific_params` of config.json; it has {known}"
        )
    return dict(own[named])

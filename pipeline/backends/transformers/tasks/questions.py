"""Questions about a text, answered by a part of it.

A context that is longer than the model takes is read in windows that overlap; the best answer
of all windows counts. transformers 5 has no such pipeline any more; the rules are those of the
one in transformers 4 (`question-answering`), whose answers are found again here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.transformers.tasks.task import Network, Task
from pipeline.backends.transformers.tasks.texts import Encoded, Texts, strings
from pipeline.batch.columns import Array, Column, Ragged, iterate
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import LoadError
from pipeline.spec.model import TransformersModel

_USUAL_LENGTH, _USUAL_STRIDE = 384, 128
_OUTSIDE = -10000.0
_FEWEST_WINDOWS = 32
_OUTPUTS = (
    TensorSpec("answer", "string", (None,)),
    TensorSpec("score", "float32", (None,)),
    TensorSpec("start", "int64", (None,)),
    TensorSpec("end", "int64", (None,)),
)
_SPANS = 12
"""Likeliest spans of a window that count; several may be the same words."""


@dataclass(frozen=True)
class _Windows:
    """The windows of all rows, those of a row together.

    Attributes:
      encoded: the model's arguments of each window.
      encodings: what the tokenizer says of its tokens.
      rows: the row of each.
      contexts: the text of each row.
    """

    encoded: Encoded
    encodings: Sequence[Any]
    rows: Sequence[int]
    contexts: Sequence[str]


@dataclass(frozen=True)
class _Answer:
    text: str
    score: float
    start: int
    end: int


def open_questions(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`question-answering`."""
    texts = Texts(path, spec, network.model)
    texts.need_offsets(path)
    longest = spec.max_length or min(texts.max_length or _USUAL_LENGTH, _USUAL_LENGTH)
    stride = min(longest // 2, _USUAL_STRIDE) if spec.doc_stride is None else spec.doc_stride
    if stride >= longest:
        raise LoadError(
            f"{path}: windows of {longest} tokens cannot have {stride} in common; expected a "
            "smaller `doc_stride`"
        )

    def prepare(inputs: Mapping[str, Array]) -> _Windows:
        questions, contexts = strings(inputs["question"]), strings(inputs["context"])
        made = texts.tokenizer(
            questions,
            contexts,
            truncation="only_second",
            max_length=longest,
            stride=stride,
            return_overflowing_tokens=True,
        )
        rows = made.pop("overflow_to_sample_mapping")
        names = list(made.keys())
        encoded = [
            {name: made[name][window] for name in names} for window in range(len(made["input_ids"]))
        ]
        return _Windows(encoded, made.encodings, rows, contexts)

    def compute(network: Network, windows: _Windows, wanted: Collection[str]) -> dict[str, Column]:
        def call(group: Encoded) -> dict[str, Column]:
            made = network(texts.padded(group))
            both = network.arrays(
                {"start": made.start_logits.float(), "end": made.end_logits.float()}
            )
            lengths = [len(row["input_ids"]) for row in group]
            return {
                name: Ragged(row[:n] for row, n in zip(array, lengths, strict=True))
                for name, array in both.items()
            }

        most = max(len(windows.contexts), _FEWEST_WINDOWS)
        made = texts.in_groups(windows.encoded, call, most=most)
        answers = _best_answers(spec, texts.tokenizer, windows, made["start"], made["end"])
        return {
            "answer": np.array([answer.text for answer in answers], dtype=object),
            "score": np.array([answer.score for answer in answers], dtype=np.float32),
            "start": np.array([answer.start for answer in answers], dtype=np.int64),
            "end": np.array([answer.end for answer in answers], dtype=np.int64),
        }

    return Task(
        inputs=tuple(TensorSpec(name, "string", (None,)) for name in ("question", "context")),
        outputs=_OUTPUTS,
        prepare=prepare,
        compute=compute,
        examples=texts.examples,
        try_out=texts.try_padding,
    )


def _best_answers(
    spec: TransformersModel, tokenizer: Any, windows: _Windows, starts: Column, ends: Column
) -> list[_Answer]:
    """The best answer of each row.

    Raises:
      ValueError: a row has no answer, as its context has no words.
    """
    found: list[list[_Answer]] = [[] for _ in windows.contexts]
    nothing = [1e6] * len(windows.contexts)
    each = zip(windows.rows, windows.encodings, iterate(starts), iterate(ends), strict=True)
    for row, encoding, start, end in each:
        inside = np.array([part == 1 for part in encoding.sequence_ids])
        counted = inside | (np.array(encoding.ids) == tokenizer.cls_token_id)
        first, last = _shares(start, counted), _shares(end, counted)
        nothing[row] = min(nothing[row], float(first[0] * last[0]))
        spans = np.triu(np.outer(np.where(inside, first, 0), np.where(inside, last, 0)))
        spans = np.tril(spans, spec.max_answer_length - 1)
        for place in np.argsort(-spans, axis=None, kind="stable")[:_SPANS]:
            i, j = np.unravel_index(place, spans.shape)
            if spans[i, j] > 0:
                begin, stop = _characters(encoding, int(i), int(j))
                text = windows.contexts[row][begin:stop]
                found[row].append(_Answer(text, float(spans[i, j]), begin, stop))
    answers = []
    for row, of_row in enumerate(found):
        if spec.impossible_answer:
            of_row.append(_Answer("", nothing[row], 0, 0))
        if not of_row:
            raise ValueError("the context has no words, expected a text that may have the answer")
        answers.append(max(_summed(of_row), key=lambda answer: answer.score))
    return answers


def _shares(logits: Array, counted: Array) -> Array:
    kept = np.where(counted, logits, _OUTSIDE)
    shares = np.exp(kept - kept.max())
    return np.asarray(shares / shares.sum())


def _characters(encoding: Any, start: int, end: int) -> tuple[int, int]:
    """The characters of some tokens, whole words where the tokenizer knows them."""
    first, last = encoding.token_to_word(start), encoding.token_to_word(end)
    if first is None or last is None:
        return encoding.offsets[start][0], encoding.offsets[end][1]
    return encoding.word_to_chars(first, 1)[0], encoding.word_to_chars(last, 1)[1]


def _summed(answers: Sequence[_Answer]) -> list[_Answer]:
    """The answers, those that say the same as one, with the sum of their scores."""
    made: dict[str, _Answer] = {}
    for answer in answers:
        same = made.get(answer.text.lower())
        if same is not None:
            answer = _Answer(same.text, same.score + answer.score, same.start, same.end)
        made[answer.text.lower()] = answer
    return list(made.values())

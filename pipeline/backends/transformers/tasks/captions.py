"""Pictures to texts: captions, answers, and what else a model was trained to write of a picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.transformers.lengths import groups_by_length
from pipeline.backends.transformers.tasks.generation import Writer
from pipeline.backends.transformers.tasks.pictures import Pictures
from pipeline.backends.transformers.tasks.sampling import record_keys
from pipeline.backends.transformers.tasks.task import Network, Task
from pipeline.backends.transformers.tasks.texts import (
    Encoded,
    Texts,
    cut_rows,
    read_tokenizer,
    strings,
)
from pipeline.batch.columns import Array, Column
from pipeline.batch.tensors import TensorSpec
from pipeline.spec.model import TransformersModel


def open_captions(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`image-to-text`."""
    pictures = Pictures(path)
    writer = Writer(path, spec, network, read_tokenizer(path))

    def prepare(inputs: Mapping[str, Array]) -> _Shown:
        return _Shown(pictures.prepared(inputs["image"]), record_keys(inputs))

    def compute(network: Network, shown: _Shown, wanted: Collection[str]) -> dict[str, Column]:
        arguments = network.moved(shown.pictures)
        return writer.columns(writer.written(network, arguments, keys=shown.keys))

    return Task(inputs=(pictures.tensor,), outputs=writer.outputs, prepare=prepare, compute=compute)


@dataclass(frozen=True)
class _Shown:
    """Pictures as the model takes them, and the ids of their records, where tokens are drawn."""

    pictures: Mapping[str, Any]
    keys: Sequence[str]


@dataclass(frozen=True)
class _Asked(_Shown):
    """Pictures, and the question of each."""

    questions: Encoded


def open_answers(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`visual-question-answering`, where the model writes the answer.

    Only questions of one length are computed together: BLIP's decoder reads padding, too.
    """
    pictures = Pictures(path)
    texts = Texts(path, spec, network.model)
    writer = Writer(path, spec, network, texts.tokenizer)

    def prepare(inputs: Mapping[str, Array]) -> _Asked:
        questions = texts.encode(strings(inputs["question"]))
        return _Asked(pictures.prepared(inputs["image"]), record_keys(inputs), questions)

    def compute(network: Network, asked: _Asked, wanted: Collection[str]) -> dict[str, Column]:
        questions = asked.questions
        groups = groups_by_length([len(row["input_ids"]) for row in questions], spare=0)
        written = []
        for group in groups:
            arguments = texts.padded([questions[row] for row in group])
            arguments.pop("token_type_ids", None)
            shown = {name: tensor[group] for name, tensor in asked.pictures.items()}
            moved = network.moved({**arguments, **shown})
            keys = [asked.keys[row] for row in group] if asked.keys else ()
            written.append(writer.written(network, moved, keys=keys))
        return writer.columns(np.concatenate(written)[np.argsort(np.concatenate(groups))])

    return Task(
        inputs=(pictures.tensor, TensorSpec("question", "string", (None,))),
        outputs=writer.outputs,
        prepare=prepare,
        compute=compute,
        cut=lambda asked: cut_rows(asked.questions),
    )

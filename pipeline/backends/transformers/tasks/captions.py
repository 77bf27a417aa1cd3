"""Pictures to texts: captions, answers, and what else a model was trained to write of a picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.transformers.tasks.generation import Writer
from pipeline.backends.transformers.tasks.pictures import Pictures
from pipeline.backends.transformers.tasks.task import Network, Task
from pipeline.backends.transformers.tasks.texts import (
    Encoded,
    Texts,
    cut_rows,
    groups_by_length,
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

    def compute(
        network: Network, prepared: Mapping[str, Any], wanted: Collection[str]
    ) -> dict[str, Column]:
        return writer.columns(writer.written(network, network.moved(prepared)))

    return Task(
        inputs=(pictures.tensor,),
        outputs=writer.outputs,
        prepare=lambda inputs: pictures.prepared(inputs["image"]),
        compute=compute,
    )


@dataclass(frozen=True)
class _Asked:
    """Pictures as the model takes them, and the question of each."""

    pictures: Mapping[str, Any]
    questions: Encoded


def open_answers(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`visual-question-answering`, where the model writes the answer.

    Only questions of one length are computed together: BLIP's decoder reads padding, too.
    """
    pictures = Pictures(path)
    texts = Texts(path, spec, network.model)
    writer = Writer(path, spec, network, texts.tokenizer)

    def prepare(inputs: Mapping[str, Array]) -> _Asked:
        return _Asked(pictures.prepared(inputs["image"]), texts.encode(strings(inputs["question"])))

    def compute(network: Network, asked: _Asked, wanted: Collection[str]) -> dict[str, Column]:
        questions = asked.questions
        groups = groups_by_length([len(row["input_ids"]) for row in questions], spare=0)
        written = []
        for group in groups:
            arguments = texts.padded([questions[row] for row in group])
            arguments.pop("token_type_ids", None)
            shown = {name: tensor[group] for name, tensor in asked.pictures.items()}
            written.append(writer.written(network, network.moved({**arguments, **shown})))
        return writer.columns(np.concatenate(written)[np.argsort(np.concatenate(groups))])

    return Task(
        inputs=(pictures.tensor, TensorSpec("question", "string", (None,))),
        outputs=writer.outputs,
        prepare=prepare,
        compute=compute,
        cut=lambda asked: cut_rows(asked.questions),
    )

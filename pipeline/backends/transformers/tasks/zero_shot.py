"""Texts to labels that the model was not trained for: whether it calls "This is LABEL." true."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.transformers.tasks.classification import whole_texts
from pipeline.backends.transformers.tasks.labels import CandidateLabels, Pairs
from pipeline.backends.transformers.tasks.task import Network, Task, class_names
from pipeline.backends.transformers.tasks.texts import Encoded, cut_rows, strings
from pipeline.batch.columns import Array, Column
from pipeline.batch.names import some
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import LoadError
from pipeline.spec.model import TransformersModel


def open_zero_shot(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`zero-shot-classification`."""
    texts = whole_texts(path, spec, network)
    labels = CandidateLabels(path, spec)
    template = spec.hypothesis_template or "This example is {}."
    yes, no = _entailment(path, network.config)

    def prepare(inputs: Mapping[str, Array]) -> tuple[Encoded, Pairs]:
        pairs = labels.pairs(inputs, len(inputs["text"]))
        rows = strings(inputs["text"])
        sentences = [template.replace("{}", label) for label in pairs.labels]
        encoded = texts.encode([rows[row] for row in pairs.rows], sentences, cut="only_first")
        return encoded, pairs

    def compute(
        network: Network, prepared: tuple[Encoded, Pairs], wanted: Collection[str]
    ) -> dict[str, Column]:
        encoded, pairs = prepared

        def call(group: Encoded) -> dict[str, Array]:
            logits = network(texts.padded(group)).logits.float()
            return network.arrays({"logits": logits[:, [no, yes]]})

        logits = texts.in_groups(encoded, call, most=pairs.most)["logits"]
        return labels.ranked(pairs, [_scores(np.asarray(part), spec) for part in pairs.of(logits)])

    return Task(
        inputs=(TensorSpec("text", "string", (None,)), labels.tensor),
        outputs=labels.outputs,
        prepare=prepare,
        compute=compute,
        cut=lambda prepared: prepared[1].any_of(cut_rows(prepared[0])),
        examples=texts.examples,
        try_out=texts.try_padding,
    )


def _scores(logits: Array, spec: TransformersModel) -> Array:
    """The scores of a row's labels, from logits [label, (contradiction, entailment)]."""
    if spec.multi_label or len(logits) == 1:
        shares = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(shares[:, 1] / shares.sum(1))
    shares = np.exp(logits[:, 1] - logits[:, 1].max())
    return np.asarray(shares / shares.sum())


def _entailment(path: Path, config: Any) -> tuple[int, int]:
    """The positions of the logits for "true" and "false", as transformers' pipeline finds them."""
    names = class_names(path, config)
    for position, label in enumerate(names):
        if label.lower().startswith("entail"):
            return position, (len(names) - 1 if position == 0 else 0)
    raise LoadError(
        f"{path} has the classes {some(names)}, expected one whose name begins with "
        "'entail': `zero-shot-classification` needs a model of natural language inference"
    )

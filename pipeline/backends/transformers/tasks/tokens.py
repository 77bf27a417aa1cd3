"""Texts to what is named in them, or to the words that are missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.transformers.tasks.task import Network, Task, class_names
from pipeline.backends.transformers.tasks.texts import Encoded, Texts, cut_rows, strings
from pipeline.batch.columns import Array, Column, Ragged, iterate
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import LoadError
from pipeline.spec.model import TransformersModel

_USUAL_TOP_K = 5
_ENTITIES = {
    "labels": "string",
    "texts": "string",
    "scores": "float32",
    "starts": "int64",
    "ends": "int64",
}


def open_entities(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`token-classification`: entities as parallel lists, offsets in characters of the text.

    Tokens become entities by the rules of transformers' own pipeline object, which needs logits and
    offsets only.
    """
    from transformers import TokenClassificationPipeline

    texts = Texts(path, spec, network.model)
    texts.need_offsets(path)
    network.config.id2label = dict(enumerate(class_names(path, network.config)))
    rules = TokenClassificationPipeline(
        model=network.model, tokenizer=texts.tokenizer, device=network.model.device
    )

    def prepare(inputs: Mapping[str, Array]) -> tuple[Encoded, list[str]]:
        rows = strings(inputs["text"])
        return texts.encode(rows, offsets=True), rows

    def compute(
        network: Network, prepared: tuple[Encoded, list[str]], wanted: Collection[str]
    ) -> dict[str, Column]:
        encoded, rows = prepared

        def call(group: Encoded) -> dict[str, Column]:
            made = network.arrays({"logits": network(texts.padded(group)).logits.float()})["logits"]
            # A row without tokens has no logits, and no entities.
            return {
                "logits": Ragged(
                    logits[: len(row["input_ids"])] for logits, row in zip(made, group, strict=True)
                )
            }

        logits = iterate(texts.in_groups(encoded, call)["logits"])
        found = [
            _entities(rules, row, text, of_row, spec.aggregation)
            for row, text, of_row in zip(encoded, rows, logits, strict=True)
        ]
        return {name: Ragged(row[name] for row in found) for name in _ENTITIES}

    return Task(
        inputs=(TensorSpec("text", "string", (None,)),),
        outputs=tuple(TensorSpec(name, dtype, (None, None)) for name, dtype in _ENTITIES.items()),
        prepare=prepare,
        compute=compute,
        cut=lambda prepared: cut_rows(prepared[0]),
        examples=texts.examples,
        try_out=texts.try_padding,
    )


def _entities(
    rules: Any, row: Mapping[str, Any], text: str, logits: Array, aggregation: str
) -> dict[str, Array]:
    import torch
    from transformers.pipelines.token_classification import AggregationStrategy

    computed = {
        "logits": torch.from_numpy(logits).unsqueeze(0),
        "sentence": text,
        "input_ids": np.array([row["input_ids"]]),
        "offset_mapping": [row["offset_mapping"]],
        "special_tokens_mask": torch.tensor([row["special_tokens_mask"]]),
    }
    found = rules.postprocess([computed], AggregationStrategy[aggregation.upper()])
    key = "entity" if aggregation == "none" else "entity_group"
    spans = [(entity["start"], entity["end"]) for entity in found]
    return {
        "labels": _texts([entity[key] for entity in found]),
        "texts": _texts([text[start:end] for start, end in spans]),
        "scores": np.array([entity["score"] for entity in found], dtype=np.float32),
        "starts": np.array([start for start, _ in spans], dtype=np.int64),
        "ends": np.array([end for _, end in spans], dtype=np.int64),
    }


def open_masks(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`fill-mask`: the likeliest tokens in the place of the one mask of a text."""
    texts = Texts(path, spec, network.model)
    most = spec.top_k or _USUAL_TOP_K
    tokenizer = texts.tokenizer
    mask = tokenizer.mask_token_id
    if mask is None:
        raise LoadError(f"{path}: its tokenizer has no mask, expected one for `task: fill-mask`")

    def prepare(inputs: Mapping[str, Array]) -> Encoded:
        rows = texts.encode(strings(inputs["text"]))
        for row in rows:
            if (count := row["input_ids"].count(mask)) != 1:
                raise ValueError(
                    f"found {count} times '{tokenizer.mask_token}' in the text (as far as the "
                    "model takes it), expected it once"
                )
        return rows

    def compute(network: Network, rows: Encoded, wanted: Collection[str]) -> dict[str, Column]:
        def call(group: Encoded) -> dict[str, Array]:
            import torch

            places = torch.tensor([row["input_ids"].index(mask) for row in group])
            logits = network(texts.padded(group)).logits.float()
            at_mask = logits[torch.arange(len(group)), places.to(logits.device)]
            best = at_mask.softmax(-1).topk(min(most, at_mask.shape[-1]))
            return network.arrays({"scores": best.values, "ids": best.indices})

        made = texts.in_groups(rows, call)
        ids = [row.tolist() for row in iterate(made["ids"])]
        filled = [
            [best[0] if token == mask else token for token in row["input_ids"]]
            for row, best in zip(rows, ids, strict=True)
        ]
        return {
            "scores": made["scores"],
            "tokens": np.stack([_texts([tokenizer.decode([i]) for i in row]) for row in ids]),
            "text": _texts([tokenizer.decode(row, skip_special_tokens=True) for row in filled]),
        }

    count = min(most, network.config.vocab_size)
    return Task(
        inputs=(TensorSpec("text", "string", (None,)),),
        outputs=(
            TensorSpec("tokens", "string", (None, count)),
            TensorSpec("scores", "float32", (None, count)),
            TensorSpec("text", "string", (None,)),
        ),
        prepare=prepare,
        compute=compute,
        cut=cut_rows,
        examples=texts.examples,
        try_out=texts.try_padding,
    )


def _texts(values: Sequence[str]) -> Array:
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made

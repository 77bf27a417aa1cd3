"""Texts to vectors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pipeline.backends.transformers.tasks.sentences import MODULES
from pipeline.backends.transformers.tasks.task import Network, Task
from pipeline.backends.transformers.tasks.texts import Encoded, Texts, cut_rows, strings
from pipeline.batch.columns import Array, Column
from pipeline.batch.tensors import TensorSpec
from pipeline.readable import logger
from pipeline.spec.model import TransformersModel

_LOGGER = logger(__name__)


def open_features(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`feature-extraction`: states of the last layer, their mean and that of the first token."""
    if (path / MODULES).is_file() and not spec.is_unbound:
        _LOGGER.warning(
            "%s is of sentence-transformers: its %s, which says how its embeddings are made, is "
            "read by `task: sentence-embedding` only",
            path,
            MODULES,
        )
    texts = Texts(path, spec, network.model)
    width = getattr(network.config, "hidden_size", None)

    def prepare(inputs: Mapping[str, Array]) -> Encoded:
        return texts.encode(strings(inputs["text"]))

    def compute(network: Network, rows: Encoded, wanted: Collection[str]) -> dict[str, Column]:
        def call(group: Encoded) -> dict[str, Array]:
            arguments = network.moved(texts.padded(group))
            hidden = network.computed(arguments).last_hidden_state.float()
            return network.arrays(_pooled(hidden, arguments["attention_mask"], wanted))

        return texts.in_groups(rows, call)

    return Task(
        inputs=(TensorSpec("text", "string", (None,)),),
        outputs=tuple(TensorSpec(name, "float32", (None, width)) for name in ("embedding", "cls")),
        prepare=prepare,
        compute=compute,
        cut=cut_rows,
        examples=texts.examples,
        try_out=texts.try_padding,
    )


def _pooled(hidden: Any, mask: Any, wanted: Collection[str]) -> dict[str, Any]:
    made = {}
    if "embedding" in wanted:
        shares = mask.unsqueeze(-1).to(hidden.dtype)
        made["embedding"] = (hidden * shares).sum(1) / shares.sum(1).clamp(min=1)  # 1: no token
    if "cls" in wanted:
        made["cls"] = hidden[:, 0]
    return made

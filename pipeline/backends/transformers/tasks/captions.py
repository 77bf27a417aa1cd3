"""Pictures to texts: captions, and whatever else a model was trained to write of a picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pipeline.backends.transformers.tasks.generation import Writer
from pipeline.backends.transformers.tasks.pictures import Pictures
from pipeline.backends.transformers.tasks.task import Network, Task
from pipeline.backends.transformers.tasks.texts import read_tokenizer
from pipeline.batch.columns import Column
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

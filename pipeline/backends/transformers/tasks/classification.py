"""Texts and pictures to one of the classes of a model, or to several."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.transformers.tasks.pictures import Pictures
from pipeline.backends.transformers.tasks.task import Network, Task, class_names
from pipeline.backends.transformers.tasks.texts import Encoded, Texts, cut_rows, strings
from pipeline.backends.transformers.tasks.waveforms import Waveforms, stacked
from pipeline.batch.columns import Array, Column
from pipeline.batch.tensors import TensorSpec
from pipeline.spec.model import TransformersModel


def open_texts(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`text-classification`."""
    texts, classes = whole_texts(path, spec, network), Classes(path, network.config)

    def prepare(inputs: Mapping[str, Array]) -> Encoded:
        named = (name for name in ("text", "text_pair") if name in inputs)
        return texts.encode(*(strings(inputs[name]) for name in named))

    def compute(network: Network, rows: Encoded, wanted: Collection[str]) -> dict[str, Column]:
        return texts.in_groups(
            rows, lambda group: classes.scored(network, texts.padded(group), wanted)
        )

    return Task(
        inputs=tuple(TensorSpec(name, "string", (None,)) for name in ("text", "text_pair")),
        outputs=classes.outputs,
        prepare=prepare,
        compute=compute,
        optional=frozenset({"text_pair"}),
        cut=cut_rows,
        examples=texts.examples,
        try_out=texts.try_padding,
    )


def open_pictures(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`image-classification`."""
    pictures, classes = Pictures(path), Classes(path, network.config)
    return Task(
        inputs=(pictures.tensor,),
        outputs=classes.outputs,
        prepare=lambda inputs: pictures.prepared(inputs["image"]),
        compute=classes.scored,
        examples=partial(pictures.examples, network.config),
    )


def open_waveforms(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`audio-classification`."""
    waveforms = Waveforms(path, spec)
    classes = Classes(path, network.config, one_is_certain=True)

    def prepare(inputs: Mapping[str, Array]) -> tuple[Mapping[str, Any], Array]:
        rows, samples = inputs["waveform"].shape
        return stacked(waveforms.prepared(inputs)), np.full(rows, waveforms.cuts(samples))

    def compute(
        network: Network, heard: tuple[Mapping[str, Any], Array], wanted: Collection[str]
    ) -> dict[str, Column]:
        return classes.scored(network, heard[0], wanted)

    return Task(
        inputs=waveforms.tensors,
        outputs=classes.outputs,
        prepare=prepare,
        compute=compute,
        optional=waveforms.optional,
        cut=lambda heard: heard[1],
    )


def whole_texts(path: Path, spec: TransformersModel, network: Network) -> Texts:
    """The tokenizer for a model that has one answer for a whole text."""
    config = network.config.get_text_config()
    # XLNet's answer is that of the last place, which must not be padding.
    texts = Texts(path, spec, network.model, left=getattr(config, "summary_type", "") == "last")
    if config.pad_token_id is None:
        # Of a decoder, it is that of the last token before padding. transformers refuses more than
        # one row where it does not know what padding is: -1 is no token.
        config.pad_token_id = -1
        texts.pads = False
    return texts


class Classes:
    """The classes of a model, and what becomes of their scores.

    Args:
      path: the model's folder.
      config: the model's configuration.
      one_is_certain: whether the only class of a model has the probability 1, as transformers'
        pipeline has it for sounds; else it is judged by itself.

    Attributes:
      outputs: `logits`, `probs` and `label`; of a regression no `probs`.
    """

    def __init__(self, path: Path, config: Any, *, one_is_certain: bool = False) -> None:
        names = class_names(path, config)
        self._labels = np.array(names, dtype=object)
        self._independent = config.problem_type == "multi_label_classification" or (
            len(names) == 1 and not one_is_certain
        )
        outputs = (
            TensorSpec("logits", "float32", (None, len(names))),
            TensorSpec("probs", "float32", (None, len(names))),
            TensorSpec("label", "string", (None,)),
        )
        regression = config.problem_type == "regression"
        self.outputs = tuple(one for one in outputs if one.name != "probs" or not regression)

    def scored(
        self, network: Network, arguments: Mapping[str, Any], wanted: Collection[str]
    ) -> dict[str, Column]:
        """The outputs of one call."""
        logits = network(arguments).logits.float()
        tensors = {}
        if "logits" in wanted:
            tensors["logits"] = logits
        if "probs" in wanted:
            tensors["probs"] = logits.sigmoid() if self._independent else logits.softmax(-1)
        if "label" in wanted:
            tensors["label"] = logits.argmax(-1)
        arrays = network.arrays(tensors)
        if "label" in arrays:
            arrays["label"] = self._labels[arrays["label"]]
        return dict(arrays)

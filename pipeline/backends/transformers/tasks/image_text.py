"""Pictures compared with texts by models with one vector for each: CLIP and SigLIP."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.transformers.tasks.labels import CandidateLabels, Pairs
from pipeline.backends.transformers.tasks.pictures import Pictures
from pipeline.backends.transformers.tasks.task import Network, Task
from pipeline.backends.transformers.tasks.texts import Encoded, Texts, cut_rows
from pipeline.batch.columns import Array, Column
from pipeline.batch.tensors import TensorSpec
from pipeline.spec.model import TransformersModel


def open_zero_shot(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`zero-shot-image-classification`: each label as a sentence, the likeliest first."""
    labels = CandidateLabels(path, spec)
    template = spec.hypothesis_template or "This is a photo of {}."
    towers = _Towers(path, spec, network, labels, template)

    def compute(network: Network, rows: _Rows, wanted: Collection[str]) -> dict[str, Column]:
        compared = towers.compared(network, rows)
        return labels.ranked(rows.pairs, [towers.scores(row.logits) for row in compared])

    return Task(
        inputs=(Pictures.tensor, labels.tensor),
        outputs=labels.outputs,
        prepare=towers.prepare,
        compute=compute,
        cut=towers.cut,
    )


def open_similarity(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`image-text-similarity`: each text as it is, in the order in which they came."""
    labels = CandidateLabels(path, spec, "texts")
    towers = _Towers(path, spec, network, labels, "{}")
    config = network.config  # SigLIP has no projection: its vectors are those of its towers
    width = getattr(config, "projection_dim", None) or config.vision_config.hidden_size
    count = labels.count

    def compute(network: Network, rows: _Rows, wanted: Collection[str]) -> dict[str, Column]:
        compared = towers.compared(network, rows)
        names = rows.pairs.of(np.array(rows.pairs.labels, dtype=object))
        best = [str(texts[row.logits.argmax()]) for texts, row in zip(names, compared, strict=True)]
        return {
            "best": np.array(best, dtype=object),
            "scores": labels.joined([towers.scores(row.logits) for row in compared]),
            "logits": labels.joined([row.logits for row in compared]),
            "image_embedding": np.stack([row.image for row in compared]),
            "text_embeddings": labels.joined([row.texts for row in compared]),
        }

    return Task(
        inputs=(Pictures.tensor, labels.tensor),
        outputs=(
            TensorSpec("best", "string", (None,)),
            TensorSpec("scores", "float32", (None, count)),
            TensorSpec("logits", "float32", (None, count)),
            TensorSpec("image_embedding", "float32", (None, width)),
            TensorSpec("text_embeddings", "float32", (None, count, width)),
        ),
        prepare=towers.prepare,
        compute=compute,
        cut=towers.cut,
    )


@dataclass(frozen=True)
class _Rows:
    """Pictures, the texts of all of them (each once), and which belong together."""

    pictures: Mapping[str, Any]
    texts: Encoded
    places: Array
    pairs: Pairs


@dataclass(frozen=True)
class _Compared:
    """A picture's unit vector [width], those of its texts [text, width], and their logits."""

    image: Array
    texts: Array
    logits: Array


class _Towers:
    """The two halves of a model: pictures and texts are computed apart, then compared.

    A text that several rows have is computed once.
    """

    def __init__(
        self,
        path: Path,
        spec: TransformersModel,
        network: Network,
        labels: CandidateLabels,
        template: str,
    ) -> None:
        self._pictures = Pictures(path)
        # SigLIP was trained with texts that are filled up, and takes the state of the last token.
        self._sigmoid = "siglip" in network.config.model_type
        self._texts = Texts(path, spec, network.model, fill=self._sigmoid)
        self._labels = labels
        self._template = template

    def prepare(self, inputs: Mapping[str, Array]) -> _Rows:
        """See Task."""
        images = inputs["image"]
        pairs = self._labels.pairs(inputs, len(images))
        different = list(dict.fromkeys(pairs.labels))
        place = {text: number for number, text in enumerate(different)}
        return _Rows(
            self._pictures.prepared(images),
            self._texts.encode([self._template.replace("{}", text) for text in different]),
            np.array([place[text] for text in pairs.labels]),
            pairs,
        )

    def cut(self, rows: _Rows) -> Array:
        """See Task."""
        return rows.pairs.any_of(cut_rows(rows.texts)[rows.places])

    def compared(self, network: Network, rows: _Rows) -> list[_Compared]:
        """Each row's picture and texts."""
        model = network.model

        def call(group: Encoded) -> dict[str, Array]:
            found = model.get_text_features(**network.moved(self._texts.padded(group)))
            return network.arrays({"texts": _unit(found.pooler_output)})

        image = model.get_image_features(**network.moved(rows.pictures)).pooler_output
        scale, bias = model.logit_scale.exp(), getattr(model, "logit_bias", None)
        tensors = {"images": _unit(image), "scale": scale.float().reshape(1)}
        if bias is not None:
            tensors["bias"] = bias.float().reshape(1)
        made = network.arrays(tensors)
        every = self._texts.in_groups(rows.texts, call, most=rows.pairs.most)["texts"]
        assert isinstance(every, np.ndarray)
        compared, start = [], 0
        for vector, count in zip(made["images"], rows.pairs.counts, strict=True):
            texts = every[rows.places[start : start + count]]
            logits = texts @ vector * made["scale"] + made.get("bias", np.float32(0))
            compared.append(_Compared(vector, texts, logits))
            start += count
        return compared

    def scores(self, logits: Array) -> Array:
        """Probabilities: each text's own (SigLIP), or which of the texts it is (CLIP)."""
        if self._sigmoid:
            return np.asarray(np.exp(-np.logaddexp(0, -logits)))  # as 1 / (1 + e^-x), no overflow
        shares = np.exp(logits - logits.max())
        return np.asarray(shares / shares.sum())


def _unit(vectors: Any) -> Any:
    vectors = vectors.float()
    return vectors / vectors.norm(dim=-1, keepdim=True)

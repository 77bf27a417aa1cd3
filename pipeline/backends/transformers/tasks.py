"""The tasks of transformers models: their inputs, how these are prepared, and their outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.failures import needs_package
from pipeline.backends.text import as_str
from pipeline.batch.columns import Array
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import LoadError
from pipeline.spec.model import TransformersModel

_NO_LIMIT = 1_000_000
"""Tokenizers without a limit say 10 to the power of 30."""

LazyOutputs = Mapping[str, Callable[[], Any]]


@dataclass(frozen=True)
class Task:
    """What prepares the inputs of a model and makes outputs of its results.

    Attributes:
      inputs, outputs: its tensors as the ensemble file names them.
      prepare: arrays by name -> the model's arguments, tensors on the CPU (a BatchFeature).
      results: (what the model returned, its arguments) -> output -> a function that computes it.
      optional: inputs that need not be bound.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    prepare: Callable[[Mapping[str, Array]], Any]
    results: Callable[[Any, Any], LazyOutputs]
    optional: frozenset[str] = frozenset()


def open_task(path: Path, spec: TransformersModel, config: Any) -> Task:
    """The task of an entry, with the tokenizer or image processor in the model's folder."""
    if spec.task == "image-classification":
        image = TensorSpec("image", "uint8", (None, None, None, 3))
        return Task((image,), _scores(config), _image_preparation(path), _classified(config))
    text, pair = (TensorSpec(name, "string", (None,)) for name in ("text", "text_pair"))
    prepare = _tokenization(path, spec.max_length, config)
    if spec.task == "text-classification":
        optional = frozenset({"text_pair"})
        return Task((text, pair), _scores(config), prepare, _classified(config), optional)
    width = getattr(config, "hidden_size", None)
    outputs = tuple(TensorSpec(name, "float32", (None, width)) for name in ("embedding", "cls"))
    return Task((text,), outputs, prepare, _embedded)


def _scores(config: Any) -> tuple[TensorSpec, ...]:
    labels = len(config.id2label)
    return (
        TensorSpec("logits", "float32", (None, labels)),
        TensorSpec("probs", "float32", (None, labels)),
        TensorSpec("label", "string", (None,)),
    )


def _tokenization(path: Path, max_length: int | None, config: Any) -> Callable[..., Any]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    # Without its files, transformers makes up a tokenizer that knows no words.
    files = ["tokenizer.json", *dict.fromkeys(tokenizer.vocab_files_names.values())]
    if not any((path / name).is_file() for name in files):
        raise LoadError(f"{path} has no file of its tokenizer, expected {' or '.join(files)}")
    tokenizer.padding_side = "right"  # or the first token, which is `cls`, would be padding
    if max_length is None:
        known = (tokenizer.model_max_length, getattr(config, "max_position_embeddings", None))
        max_length = min((n for n in known if n and n < _NO_LIMIT), default=None)

    def prepare(inputs: Mapping[str, Array]) -> Any:
        texts = [as_str(inputs[name]).tolist() for name in ("text", "text_pair") if name in inputs]
        return tokenizer(
            *texts,
            padding=True,
            truncation=max_length is not None,
            max_length=max_length,
            return_tensors="pt",
        )

    return prepare


def _image_preparation(path: Path) -> Callable[..., Any]:
    from transformers import AutoImageProcessor
    from transformers.utils import requires_backends

    with needs_package("pillow", extra="images"):
        requires_backends(AutoImageProcessor, ["vision"])
    processor = AutoImageProcessor.from_pretrained(
        path, local_files_only=True, trust_remote_code=False, backend="pil"
    )

    def prepare(inputs: Mapping[str, Array]) -> Any:
        images = list(inputs["image"])
        return processor(images, input_data_format="channels_last", return_tensors="pt")

    return prepare


def _embedded(returned: Any, prepared: Any) -> LazyOutputs:
    hidden = returned.last_hidden_state.float()

    def mean() -> Any:
        mask = prepared["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)  # 1: a text without any token

    return {"embedding": mean, "cls": lambda: hidden[:, 0]}


def _classified(config: Any) -> Callable[..., LazyOutputs]:
    labels = np.array([str(config.id2label[i]) for i in range(len(config.id2label))], dtype=object)
    # As the pipelines of transformers do it; a regression's single value has no probability.
    independent = config.problem_type == "multi_label_classification" or len(labels) == 1

    def results(returned: Any, prepared: Any) -> LazyOutputs:
        logits = returned.logits.float()
        return {
            "logits": lambda: logits,
            "probs": lambda: logits.sigmoid() if independent else logits.softmax(-1),
            "label": lambda: labels[logits.argmax(-1).numpy(force=True)],
        }

    return results

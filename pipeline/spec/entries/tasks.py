"""What the ensemble file can say of each task of `framework: transformers`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

_TEXT = ("max_length", "truncation")
_ENCODE = (*_TEXT, "compile")
GENERATE = (
    "max_new_tokens",
    "min_new_tokens",
    "num_beams",
    "num_return_sequences",
    "length_penalty",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "do_sample",
)
"""Those that are arguments of transformers' `generate`, too."""
SAMPLE = ("temperature", "top_k", "top_p")
"""Those that say how tokens are drawn."""
_WRITE = (*_TEXT, *GENERATE, *SAMPLE)
_SPEECH = (
    "max_new_tokens",
    "num_beams",
    "length_penalty",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "do_sample",
)


@dataclass(frozen=True)
class TaskText:
    """What the ensemble file can say of a task; the documents show it as it is here.

    Attributes:
      inputs, outputs: its tensors.
      options: keys of the entry that it has besides those of every task.
    """

    inputs: str
    outputs: str
    options: tuple[str, ...] = ()


_CLASSES = "`logits`, `probs` (float32 [labels]; none of a regression), `label`"
_HEARD = (
    "`waveform`, float32 [any], one channel from -1 to 1, as `op: decode_audio` makes it; "
    "`sampling_rate`, int64, of each, if bound"
)
_WRITTEN = "`text`, the best one (drawn: the first); `texts`, `num_return_sequences` of them"

TASKS: Mapping[str, TaskText] = {
    "feature-extraction": TaskText(
        "`text`",
        "`embedding` (mean over the tokens), `cls` (first token): float32 [width]",
        _ENCODE,
    ),
    "sentence-embedding": TaskText(
        "`text`",
        "`embedding`, float32 [width], as sentence-transformers' `encode` makes it: by the "
        "folder's `modules.json` (Transformer, Pooling, Dense, LayerNorm, Normalize), "
        "`max_seq_length` and default prompt",
        (*_ENCODE, "prompt"),
    ),
    "text-classification": TaskText("`text`; `text_pair`, if bound", _CLASSES, _ENCODE),
    "zero-shot-classification": TaskText(
        "`text`; `labels`, string [any]: a column, or `{value: [...], dtype: string}`",
        "`labels`, `scores` (float32), the likeliest first: lists of as many; `label`",
        (*_ENCODE, "hypothesis_template", "multi_label"),
    ),
    "token-classification": TaskText(
        "`text`",
        "what is named in the text, as lists of one length: `labels`, `texts`, `scores` (float32), "
        "`starts` and `ends` (characters of the text)",
        (*_ENCODE, "aggregation"),
    ),
    "question-answering": TaskText(
        "`question`, `context`",
        "`answer`, a part of the context; `score` (float32), `start` and `end` (characters)",
        ("max_length", "doc_stride", "max_answer_length", "impossible_answer", "compile"),
    ),
    "fill-mask": TaskText(
        "`text` with the tokenizer's mask once, such as `[MASK]`",
        "`tokens` and `scores` (float32), the likeliest first; `text` with the likeliest",
        (*_ENCODE, "top_k"),
    ),
    "text2text-generation": TaskText("`text`", _WRITTEN, (*_WRITE, "prefix", "stop")),
    "summarization": TaskText("`text`", _WRITTEN, (*_WRITE, "prefix", "stop")),
    "translation": TaskText(
        "`text`",
        _WRITTEN,
        (*_WRITE, "prefix", "stop", "source_language", "target_language"),
    ),
    "text-generation": TaskText(
        "`text`, or what `template` names",
        f"{_WRITTEN}; without the prompt",
        (*_WRITE, "template", "chat", "system", "stop"),
    ),
    "image-classification": TaskText("`image`, uint8 [height, width, 3]", _CLASSES, ("compile",)),
    "image-text-similarity": TaskText(
        "`image`, uint8 [height, width, 3]; `texts`, string [any]: a column, or "
        "`{value: [...], dtype: string}`",
        "in the order of the texts `scores` (float32; CLIP: which of them it is, SigLIP: each by "
        "itself) and `logits`; `best` (the likeliest text), `image_embedding`, `text_embeddings`",
        _TEXT,
    ),
    "zero-shot-image-classification": TaskText(
        "`image`, uint8 [height, width, 3]; `labels`, string [any]: a column, or "
        "`{value: [...], dtype: string}`",
        "`labels`, `scores` (float32), the likeliest first: lists of as many; `label`",
        (*_TEXT, "hypothesis_template"),
    ),
    "image-to-text": TaskText(
        "`image`, uint8 [height, width, 3]",
        "`text`, the best caption (drawn: the first); `texts`, `num_return_sequences` of them",
        (*GENERATE, *SAMPLE),
    ),
    "visual-question-answering": TaskText(
        "`image`, uint8 [height, width, 3]; `question`",
        "`text`, the best answer (drawn: the first); `texts`, `num_return_sequences` of them",
        _WRITE,
    ),
    "object-detection": TaskText(
        "`image`, uint8 [height, width, 3]",
        "what is seen, as lists of one length: `boxes` (float32 [4]: left, top, right, bottom, in "
        "pixels of the picture), `labels`, `scores` (float32)",
        ("threshold",),
    ),
    "image-segmentation": TaskText(
        "`image`, uint8 [height, width, 3]",
        "`mask`, bytes: a PNG of the picture's size, the number of each pixel's class; `labels` "
        "and `shares` (float32): the classes in it by their numbers, and how much of it they have",
    ),
    "automatic-speech-recognition": TaskText(
        _HEARD,
        "`text`, what is said",
        ("sampling_rate", "long_form", "language", "translate", *_SPEECH),
    ),
    "audio-classification": TaskText(_HEARD, _CLASSES, ("sampling_rate", "truncation")),
}
"""Task -> its text."""

TaskName = Literal[
    "feature-extraction",
    "sentence-embedding",
    "text-classification",
    "zero-shot-classification",
    "token-classification",
    "question-answering",
    "fill-mask",
    "text2text-generation",
    "summarization",
    "translation",
    "text-generation",
    "image-classification",
    "image-text-similarity",
    "zero-shot-image-classification",
    "image-to-text",
    "visual-question-answering",
    "object-detection",
    "image-segmentation",
    "automatic-speech-recognition",
    "audio-classification",
]

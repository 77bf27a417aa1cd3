"""Random models of usual sizes, with a tokenizer, and texts whose lengths are log-normal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_WORDS = 2000
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_FEWEST, _USUAL, _MOST = 3, 40, 398
"""Words of a text, the median among them; two tokens stand around each."""
_SPREAD = 1.0
ENCODERS = {
    "tiny": {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2},
    "BERT base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
}
WRITER = {"d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8, "d_kv": 64}
_SMALL_WRITER = {"d_model": 64, "d_ff": 128, "num_layers": 1, "num_heads": 2, "d_kv": 32}


@dataclass(frozen=True)
class Folders:
    """The folders of one size: a classifier, a model of sentence-transformers."""

    classifier: Path
    sentences: Path


def texts(count: int) -> list[str]:
    """Texts of 5 to 400 tokens."""
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(np.log(_USUAL), _SPREAD, count)).astype(int)
    return [
        " ".join(f"word{number}" for number in rng.integers(0, _WORDS, length))
        for length in lengths.clip(_FEWEST, _MOST)
    ]


def encoders(folder: Path, size: str) -> Folders:
    """Writes the models of a size."""
    import torch
    import transformers

    torch.manual_seed(0)
    keys: dict[str, Any] = {**ENCODERS[size], "vocab_size": _WORDS + len(_SPECIAL)}
    config = transformers.BertConfig(intermediate_size=4 * keys["hidden_size"], **keys)
    tokenizer = _tokenizer()
    made = Folders(folder / "classifier", folder / "sentences")
    transformers.BertForSequenceClassification(config).save_pretrained(made.classifier)
    transformers.BertModel(config).save_pretrained(made.sentences)
    for place in (made.classifier, made.sentences):
        tokenizer.save_pretrained(place)
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"))
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    pooling = {"word_embedding_dimension": config.hidden_size, "pooling_mode_mean_tokens": True}
    (made.sentences / "1_Pooling").mkdir()
    (made.sentences / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (made.sentences / "modules.json").write_text(json.dumps(modules))
    (made.sentences / "sentence_bert_config.json").write_text('{"max_seq_length": 512}')
    return made


def writer(folder: Path, *, small: bool) -> Path:
    """Writes a T5 of the size of T5 small, or a smaller one."""
    import torch
    import transformers

    torch.manual_seed(0)
    keys: dict[str, Any] = _SMALL_WRITER if small else WRITER
    config = transformers.T5Config(
        vocab_size=_WORDS + len(_SPECIAL),
        pad_token_id=0,
        eos_token_id=3,
        decoder_start_token_id=0,
        **keys,
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = (*_SPECIAL, *(f"word{number}" for number in range(_WORDS)))
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=512,
        sep_token="[SEP]",
        eos_token="[SEP]",
        model_input_names=["input_ids", "attention_mask"],
        **named,
    )

"""Tiny transformers of random weights for texts, with tokenizers trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.picture_models import byte_level_tokenizer, word_piece_tokenizer

_SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "initializer_range": 0.5,
}


def bert(folder: Path, kind: str, **config: Any) -> Path:
    """A class such as "BertForTokenClassification", with a WordPiece tokenizer."""
    import torch
    import transformers

    torch.manual_seed(7)
    tokenizer = word_piece_tokenizer()
    made = transformers.BertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=24, **{**_SMALL, **config}
    )
    return saved(folder, getattr(transformers, kind)(made), tokenizer)


def roberta(folder: Path, kind: str, **config: Any) -> Path:
    """A class such as "RobertaForTokenClassification", with byte-level BPE."""
    import torch
    import transformers

    torch.manual_seed(8)
    tokenizer = byte_level_tokenizer(model_max_length=24, mask_token="<mask>", cls_token="<bos>")
    made = transformers.RobertaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=26,
        pad_token_id=0,
        **{**_SMALL, **config},
    )
    return saved(folder, getattr(transformers, kind)(made), tokenizer)


def saved(folder: Path, *parts: Any) -> Path:
    for part in parts:
        part.save_pretrained(folder)
    return folder

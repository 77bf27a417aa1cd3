"""Tiny transformers of random weights for pictures and texts, with tokenizers trained here."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

_MADE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "captions" / "make.py"))
clip, blip = _MADE["clip"], _MADE["blip"]
byte_level_tokenizer, word_piece_tokenizer = (
    _MADE[f"{kind}_tokenizer"] for kind in ("byte_level", "word_piece")
)
SENTENCES, _SMALL, _SEEN = (_MADE[name] for name in ("SENTENCES", "SMALL", "SEEN"))


def siglip(folder: Path) -> Path:
    import torch
    import transformers

    torch.manual_seed(4)
    tokenizer = byte_level_tokenizer(model_max_length=64, model_input_names=["input_ids"])
    text = {**_SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": 64}
    config = transformers.SiglipConfig(
        text_config={**text, "projection_size": 16}, vision_config=_SEEN
    )
    transformers.SiglipModel(config).save_pretrained(folder)
    processor = transformers.SiglipImageProcessorPil(size={"height": 12, "width": 12})
    return _saved(folder, tokenizer, processor)


def vision_encoder_decoder(folder: Path) -> Path:
    """A ViT that is read by a GPT-2, as many captioning models on the Hub."""
    import torch
    import transformers

    torch.manual_seed(6)
    tokenizer = byte_level_tokenizer(model_max_length=24)
    seen = transformers.ViTConfig(**_SEEN)
    writes = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_positions=24,
        initializer_range=0.5,
        add_cross_attention=True,
        is_decoder=True,
    )
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(seen, writes)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 1, 0, 2
    model = transformers.VisionEncoderDecoderModel(config)
    model.generation_config.update(decoder_start_token_id=1, pad_token_id=0, eos_token_id=2)
    model.save_pretrained(folder)
    processor = transformers.ViTImageProcessorPil(size={"height": 12, "width": 12})
    return _saved(folder, tokenizer, processor)


def _saved(folder: Path, *parts: Any) -> Path:
    for part in parts:
        part.save_pretrained(folder)
    return folder

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


def blip_answers(folder: Path) -> Path:
    import torch
    import transformers

    captions = transformers.AutoConfig.from_pretrained(blip(folder))
    torch.manual_seed(7)
    transformers.BlipForQuestionAnswering(captions).save_pretrained(folder)
    return folder


def yolos(folder: Path) -> Path:
    import torch
    import transformers

    torch.manual_seed(8)
    seen = {**_SEEN, "image_size": [32, 32], "patch_size": 16}
    config = transformers.YolosConfig(**seen, num_detection_tokens=6, num_labels=3)
    processor = transformers.YolosImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 48})
    return _detector(folder, transformers.YolosForObjectDetection(config), processor)


def detr(folder: Path) -> Path:
    """Without timm: its backbone is transformers' own ResNet."""
    import torch
    import transformers

    torch.manual_seed(9)
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], out_features=["stage2"]
    )
    halves = {
        f"{half}_{key}": value
        for half in ("encoder", "decoder")
        for key, value in {"layers": 1, "attention_heads": 2, "ffn_dim": 16}.items()
    }
    config = transformers.DetrConfig(
        use_timm_backbone=False,
        backbone=None,
        use_pretrained_backbone=False,
        backbone_config=backbone,
        d_model=16,
        num_queries=6,
        num_labels=3,
        init_std=1.0,
        **halves,
    )
    processor = transformers.DetrImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 48})
    return _detector(folder, transformers.DetrForObjectDetection(config), processor)


def segformer(folder: Path) -> Path:
    import torch
    import transformers

    torch.manual_seed(10)
    config = transformers.SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        initializer_range=0.5,
        num_labels=4,
    )
    model = transformers.SegformerForSemanticSegmentation(config)
    model.save_pretrained(folder)
    processor = transformers.SegformerImageProcessorPil(size={"height": 32, "width": 32})
    return _saved(folder, processor)


def _detector(folder: Path, model: Any, processor: Any) -> Path:
    """Weights so large that different pictures have different objects in them."""
    import torch

    with torch.no_grad():
        for head in (model.class_labels_classifier, model.bbox_predictor):
            for weights in head.parameters():
                weights.normal_(0, 0.4)
    model.save_pretrained(folder)
    return _saved(folder, processor)


def _saved(folder: Path, *parts: Any) -> Path:
    for part in parts:
        part.save_pretrained(folder)
    return folder

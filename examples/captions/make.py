"""Makes pictures, and two tiny models of random weights: BLIP, which writes, and CLIP, which ranks.

    python examples/captions/make.py --output_dir build/captions

writes ``pictures/`` (the input, a broken file among it), ``models/blip/1``, ``models/clip/1`` and a
copy of ``ensemble.yaml``. It needs no connection and takes some seconds. Random weights write
nonsense; README.md says which published models to put in their place.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
SENTENCES = [
    "a photo of a red circle on the left",
    "a photo of two green squares",
    "the blue triangle is bad, very bad",
    "good films and a green triangle of the right size",
]
"""Tokenizers learn their words from these."""
LAYERS = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
SMALL = {"hidden_size": 16, "initializer_range": 0.5, **LAYERS}
SEEN = {"image_size": 12, "patch_size": 6, **SMALL}
SIZE = {"height": 12, "width": 12}


def byte_level_tokenizer(**keys: Any) -> Any:
    """Byte-level BPE as CLIP has it: begin and end around each text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<bos>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    named = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **{**named, **keys})


def word_piece_tokenizer() -> Any:
    """WordPiece as BLIP has it; tokenizers' own training of it is another one each time."""
    from transformers import BertTokenizerFast

    words = sorted({word for text in SENTENCES for word in text.replace(",", " ,").split()})
    letters = sorted({letter for word in words for letter in word})
    pieces = [f"##{letter}" for letter in letters]
    named = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *pieces, *words)
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(named))}
    return BertTokenizerFast(vocab=vocabulary, model_max_length=24)


def clip(folder: Path) -> Path:
    """A folder of CLIP."""
    import torch
    import transformers

    torch.manual_seed(3)
    tokenizer = byte_level_tokenizer(model_max_length=24)
    text = {**SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": 24}
    text |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = transformers.CLIPConfig(text_config=text, vision_config=SEEN, projection_dim=8)
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": 12}, crop_size=SIZE)
    return _saved(folder, transformers.CLIPModel(config), tokenizer, processor)


def blip(folder: Path) -> Path:
    """A folder of BLIP."""
    import torch
    import transformers

    torch.manual_seed(5)
    tokenizer = word_piece_tokenizer()
    ids = {"pad": "[PAD]", "bos": "[CLS]", "eos": "[SEP]", "sep": "[SEP]"}
    text = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(t) for name, t in ids.items()}
    text |= {**SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": 24}
    text |= {"encoder_hidden_size": 16}
    config = transformers.BlipConfig(text_config=text, vision_config=SEEN)
    processor = transformers.BlipImageProcessorPil(size=SIZE)
    model = transformers.BlipForConditionalGeneration(config)
    return _saved(folder, model, tokenizer, processor)


def draw_pictures(folder: Path) -> None:
    """Some pictures of different sizes, and a file that is none."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(6):
        height, width = random.integers(20, 60, 2)
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"not a picture")


def _saved(folder: Path, *parts: Any) -> Path:
    for part in parts:
        part.save_pretrained(folder)
    return folder


def main() -> None:
    """Writes everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output_dir", type=Path, required=True)
    folder = parser.parse_args().output_dir
    blip(folder / "models/blip/1")
    clip(folder / "models/clip/1")
    draw_pictures(folder / "pictures")
    shutil.copy(HERE / "ensemble.yaml", folder)


if __name__ == "__main__":
    main()

"""Tiny transformers of random weights for texts, with tokenizers trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.picture_models import SENTENCES, byte_level_tokenizer, word_piece_tokenizer

_SPM = ("source_spm", "target_spm")
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


def unigram_tokenizer(**keys: Any) -> Any:
    """Unigram as T5 has it: an end after each text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=80,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    named = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named, **keys)


def t5(folder: Path, **config: Any) -> Path:
    """An encoder and a decoder that reads a prefix."""
    import torch
    import transformers

    torch.manual_seed(9)
    tokenizer = unigram_tokenizer(model_max_length=48)
    made = transformers.T5Config(
        vocab_size=len(tokenizer),
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        initializer_factor=4.0,
        decoder_start_token_id=0,
        **config,
    )
    return saved(folder, transformers.T5ForConditionalGeneration(made), tokenizer)


def nllb(folder: Path) -> Path:
    """A translator between many languages, each a token."""
    import json

    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    named = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(vocab_size=80, special_tokens=named, show_progress=False)
    trained.train_from_iterator(SENTENCES, trainer)
    words = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) for merge in words["merges"]]
    tokenizer = transformers.NllbTokenizer(vocab=words["vocab"], merges=merges)
    sizes = {
        f"{part}_{size}": value
        for part in ("encoder", "decoder")
        for size, value in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 16))
    }
    torch.manual_seed(11)
    config = transformers.M2M100Config(
        vocab_size=len(tokenizer),
        d_model=16,
        max_position_embeddings=40,
        init_std=0.5,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.eos_token_id,
        **sizes,
    )
    model = transformers.M2M100ForConditionalGeneration(config)
    with torch.no_grad():  # or a random model writes the names of languages
        model.model.shared.weight[len(words["vocab"]) :] *= 0.3
    return saved(folder, model, tokenizer)


def sentence_pieces(**options: Any) -> bytes:
    """The file of a tokenizer of sentencepiece."""
    import io

    import sentencepiece

    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=trained,
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return trained.getvalue()


def marian(folder: Path) -> Path:
    """A translator between two languages, with tokens of sentencepiece."""
    import json

    import sentencepiece
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    trained = sentence_pieces()
    names = ("source.spm", "target.spm")
    for name in names:
        (folder / name).write_bytes(trained)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=trained)
    words = [pieces.id_to_piece(i) for i in range(pieces.get_piece_size())]
    words = ["</s>", "<unk>", *(word for word in words if word[0] != "<"), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    files = {key: str(folder / name) for key, name in zip(_SPM, names, strict=True)}
    tokenizer = transformers.MarianTokenizer(
        vocab=str(folder / "vocab.json"), **files, model_max_length=24
    )
    sizes = {
        f"{half}_{size}": value
        for half in ("encoder", "decoder")
        for size, value in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 16))
    }
    torch.manual_seed(12)
    config = transformers.MarianConfig(
        vocab_size=len(words),
        d_model=16,
        max_position_embeddings=40,
        init_std=0.5,
        pad_token_id=len(words) - 1,
        eos_token_id=0,
        decoder_start_token_id=len(words) - 1,
        forced_eos_token_id=None,
        **sizes,
    )
    return saved(folder, transformers.MarianMTModel(config), tokenizer)


def gpt2(folder: Path) -> Path:
    """A decoder, with a tokenizer that has nothing to fill up rows with."""
    import torch
    import transformers

    torch.manual_seed(10)
    tokenizer = byte_level_tokenizer(model_max_length=64, pad_token=None)
    tokenizer.backend_tokenizer.post_processor = None
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    made = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_positions=64,
        initializer_range=0.5,
        bos_token_id=1,
        eos_token_id=2,
    )
    return saved(folder, transformers.GPT2LMHeadModel(made), tokenizer)


def saved(folder: Path, *parts: Any) -> Path:
    for part in parts:
        part.save_pretrained(folder)
    return folder

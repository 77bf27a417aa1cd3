"""Tiny transformers of random weights for waveforms, with tokenizers made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.picture_models import byte_level_tokenizer
from tests.support.text_models import saved

_SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "initializer_range": 0.5,
}
_HEARS = {
    **_SMALL,
    "conv_dim": (8, 8, 8),
    "conv_stride": (20, 8, 2),
    "conv_kernel": (40, 8, 2),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
LETTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghijklmno")


def letters_tokenizer(folder: Path) -> Any:
    import transformers

    file = folder / "letters.json"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({letter: i for i, letter in enumerate(LETTERS)}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(file))
    file.unlink()
    return tokenizer


def ctc(folder: Path, name: str = "Wav2Vec2", **config: Any) -> Path:
    """A class such as "HubertForCTC", with letters; `name` is what stands before ForCTC.

    As published, a wav2vec2 normalises each channel over time (`feat_extract_norm: group`).
    """
    import torch
    import transformers

    torch.manual_seed(12)
    tokenizer = letters_tokenizer(folder)
    made = getattr(transformers, f"{name}Config")(
        vocab_size=len(LETTERS), pad_token_id=0, **{**_HEARS, **config}
    )
    network = getattr(transformers, f"{name}ForCTC")(made)
    with torch.no_grad():  # so large that other sounds have other letters
        network.lm_head.weight.normal_(0, 2.0)
    spectrogram = name == "Wav2Vec2Bert"  # reads one, as SeamlessM4T makes it
    extractor = (
        transformers.SeamlessM4TFeatureExtractor()
        if spectrogram
        else transformers.Wav2Vec2FeatureExtractor(return_attention_mask=name == "Hubert")
    )
    return saved(folder, network, tokenizer, extractor)


def wav2vec2_classifier(folder: Path, **config: Any) -> Path:
    import torch
    import transformers

    torch.manual_seed(13)
    made = transformers.Wav2Vec2Config(
        classifier_proj_size=16, **{**_HEARS, "num_labels": 3, **config}
    )
    network = transformers.Wav2Vec2ForSequenceClassification(made)
    return saved(folder, network, transformers.Wav2Vec2FeatureExtractor())


def spectrogram_classifier(folder: Path) -> Path:
    """AST: it hears a bit more than half a second."""
    import torch
    import transformers

    torch.manual_seed(14)
    made = transformers.ASTConfig(num_labels=3, max_length=64, num_mel_bins=32, **_SMALL)
    extractor = transformers.ASTFeatureExtractor(num_mel_bins=32, max_length=64)
    return saved(folder, transformers.ASTForAudioClassification(made), extractor)


def whisper(folder: Path, *, languages: bool = True) -> Path:
    """It hears two seconds at a time."""
    import torch
    import transformers

    torch.manual_seed(15)
    plain = byte_level_tokenizer()
    named = ["<|startoftranscript|>", "<|en|>", "<|fr|>", "<|translate|>", "<|transcribe|>"]
    named += ["<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    words = json.loads(plain.backend_tokenizer.to_str())["model"]
    tokenizer = transformers.WhisperTokenizer(
        vocab=words["vocab"], merges=[tuple(merge) for merge in words["merges"]]
    )
    tokenizer.add_special_tokens({"additional_special_tokens": named})
    tokenizer.add_tokens([f"<|{i * 0.02:.2f}|>" for i in range(101)])
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in named}
    end = tokenizer.eos_token_id
    sizes = {
        f"{half}_{size}": value
        for half in ("encoder", "decoder")
        for size, value in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 16))
    }
    made = transformers.WhisperConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        num_mel_bins=16,
        max_source_positions=100,
        max_target_positions=32,
        init_std=0.5,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        suppress_tokens=None,
        begin_suppress_tokens=None,
        **sizes,
    )
    network = transformers.WhisperForConditionalGeneration(made)
    said: dict[str, Any] = {}
    if languages:
        said["lang_to_id"] = {name: ids[name] for name in ("<|en|>", "<|fr|>")}
        said["task_to_id"] = {name: ids[f"<|{name}|>"] for name in ("translate", "transcribe")}
    network.generation_config = transformers.GenerationConfig(
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        max_new_tokens=8,
        no_timestamps_token_id=ids["<|notimestamps|>"],
        is_multilingual=languages,
        **said,
    )
    extractor = transformers.WhisperFeatureExtractor(feature_size=16, chunk_length=2)
    return saved(folder, network, tokenizer, extractor)

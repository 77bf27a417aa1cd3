"""Whether a folder holds a transformers model that can be loaded without running its code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pipeline.backends.model_files import no_pointer, with_content
from pipeline.backends.onnx.companions import leads_out
from pipeline.errors import LoadError, UntrustedArtifactError

_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
"""What transformers reads: the first one where both are there, as after saving in other parts."""
_ADAPTER = "adapter_config.json"
_LISTED = 10
_NAMING_FILES = ("tokenizer_config.json", "special_tokens_map.json")
"""Files whose keys become arguments of a tokenizer, which opens those that it is given."""
_LEFTOVERS = ("tokenizer_file", "special_tokens_map_file", "added_tokens_file")
"""Keys of older tokenizer_config.json files: paths where a model was made, which nothing reads."""
_TEXT_FILES = re.compile(
    r"[^.]*config\.json|.*token.*\.json|.*vocab[^.]*\.(json|txt)|normalizer\.json"
    r"|(merges|dict)\.txt|.*\.(model|spm)"
)
"""Names of the files of configurations and tokenizers."""
_EXPECTED = (
    "expected a folder as save_pretrained writes it: config.json, model.safetensors and the files "
    "of the tokenizer or image processor"
)


def check_folder(path: Path) -> None:
    """Looks at names, sizes and the configuration; loads nothing.

    Raises:
      LoadError: it is not such a folder, or one of its files is empty.
      UntrustedArtifactError: its weights are pickles, the model is code that it brings, or its
        tokenizer would open files elsewhere.
    """
    if not path.exists():
        raise LoadError(f"{path} does not exist; {_EXPECTED}")
    names = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    held = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    if _ADAPTER in names:
        beside = f"; if {_WEIGHTS} is the merged model, remove {_ADAPTER}"
        raise LoadError(
            f"{path} holds an adapter ({_ADAPTER}), which changes the weights of another model; "
            "expected the whole model: merge them where the adapter was made "
            "(`merge_and_unload()` of peft), and call save_pretrained"
            + (beside if _has_weights(path) else "")
        )
    if not path.is_dir() or "config.json" not in names:
        found = f"it holds {held or 'nothing'}" if path.is_dir() else "it is a file"
        raise LoadError(f"{path}: {found}; {_EXPECTED}")
    weights = [path / name for name in names if name.endswith(".safetensors")]
    pickles = [name for name in names if name.endswith(_PICKLES)]
    if not weights and pickles:
        raise UntrustedArtifactError(
            f"{path} has its weights in {', '.join(pickles)}, a pickle, which could run code; "
            "convert them where they lie, with `python -m pipeline safetensors FOLDER`, or load "
            "the model where you trust it and call save_pretrained"
        )
    if not weights:
        raise LoadError(f"{path} has no .safetensors file, it holds {held}; {_EXPECTED}")
    if not _has_weights(path):
        raise LoadError(
            f"{path} has its weights in {', '.join(file.name for file in weights[:_LISTED])}; "
            f"expected {_WEIGHTS}, or parts and their index, {_INDEX}"
        )
    for file in _read_weights(path):
        with_content(file)
    for name in names:
        if _TEXT_FILES.fullmatch(name) and (path / name).is_file():
            no_pointer(path / name)
        if name in _NAMING_FILES:
            _check_named_files(path / name)
    _check_config(path)


def _has_weights(path: Path) -> bool:
    return any((path / name).is_file() for name in (_WEIGHTS, _INDEX))


def _read_weights(path: Path) -> list[Path]:
    """The files whose weights are read.

    Raises:
      LoadError: one is missing, or outside the folder, where it would not count in the digest.
    """
    if (path / _WEIGHTS).is_file():
        return [path / _WEIGHTS]
    file = no_pointer(path / _INDEX)
    try:
        index: Any = json.loads(file.read_text())
        parts = {str(part) for part in index["weight_map"].values()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LoadError(f"{file} is not an index of weights: {error}") from error
    for part in sorted(parts):
        if leads_out(part):
            raise LoadError(f"{file} names weights in '{part}', expected a file in its folder")
        if not (path / part).is_file():
            raise LoadError(f"{file} names weights in '{part}', which is missing")
    return [path / part for part in sorted(parts)]


def _check_named_files(file: Path) -> None:
    """Refuses files outside the folder that transformers would open because a key names them."""
    try:
        keys: Any = json.loads(file.read_text())
    except ValueError as error:
        raise LoadError(f"{file} is not JSON: {error}") from error
    for key, name in keys.items() if isinstance(keys, dict) else ():
        if not key.endswith("_file") or not isinstance(name, str):
            continue
        if file.name == _NAMING_FILES[0] and key in _LEFTOVERS:
            continue
        if leads_out(name) and (file.parent / name).exists():
            raise UntrustedArtifactError(
                f"{file} names the file '{name}' in its key '{key}', expected a file in its "
                "folder: remove the key, or load the tokenizer where you trust it and call "
                "save_pretrained"
            )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _is_switched_off(quantized: Any) -> bool:
    """Whether the weights are plain: bitsandbytes was asked for neither of its formats."""
    return (
        isinstance(quantized, dict)
        and quantized.get("quant_method") == "bitsandbytes"
        and all(quantized.get(f"load_in_{bits}bit") is False for bits in (4, 8))
    )


def _check_config(path: Path) -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    file = with_content(path / "config.json")
    try:
        config: Any = json.loads(file.read_text())
    except ValueError as error:
        raise LoadError(f"{file} is not JSON: {error}") from error
    quantized = config.get("quantization_config") if isinstance(config, dict) else None
    if quantized and not _is_switched_off(quantized):
        method = quantized.get("quant_method") if isinstance(quantized, dict) else quantized
        raise LoadError(
            f"{file} has `quantization_config` ({method}): other libraries read such weights, and "
            "some scale a whole call at once; expected weights in float32, float16 or bfloat16"
        )
    named = config.get("transformers_weights") if isinstance(config, dict) else None
    if named not in (None, _WEIGHTS):
        raise LoadError(
            f"{file} has its weights in '{named}' (`transformers_weights`), expected {_WEIGHTS}: "
            "load the model where you trust it and call save_pretrained"
        )
    names = config.get("id2label") if isinstance(config, dict) else None
    if names is not None and not (isinstance(names, dict) and all(map(_is_number, names))):
        raise LoadError(
            f'{file}: `id2label` is {names!r:.80}, expected names by number: {{"0": "bad", '
            '"1": "good"}'
        )
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind in CONFIG_MAPPING:
        return
    if isinstance(config, dict) and "auto_map" in config:
        raise UntrustedArtifactError(
            f"{path} brings code for its model (`auto_map` in config.json), which is never run; "
            "expected an architecture that transformers itself has"
        )
    raise LoadError(f"{file} has the model_type {kind!r}, which this transformers does not know")

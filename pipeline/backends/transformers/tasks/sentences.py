"""Texts to vectors as sentence-transformers makes them: by the modules that its files name.

A folder of sentence-transformers lists what comes after the network in `modules.json`: pooling of
the tokens' states, then any of normalisation, linear layers and layer norms. Results are those of
its `encode`. What it reads: https://sbert.net/docs/sentence_transformer/usage/custom_models.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.backends.failures import needs_package
from pipeline.backends.onnx.companions import leads_out
from pipeline.backends.transformers.tasks.task import Network, Task
from pipeline.backends.transformers.tasks.texts import Encoded, Texts, cut_rows, strings
from pipeline.batch.columns import Array, Column
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import LoadError, UntrustedArtifactError
from pipeline.spec.model import TransformersModel

MODULES = "modules.json"
_PROMPTS = "config_sentence_transformers.json"
_OF_TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}
_CALLED: Mapping[str, Any] = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
    "modality_config": {"text": _OF_TEXT},
    "processing_kwargs": {},
}
"""How sentence-transformers calls a network where nothing says it."""
_POOLING = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
_OLD_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Keys of older files, in the order in which several of them are joined."""
_ACTIVATIONS = ("Tanh", "Identity", "ReLU", "GELU", "SiLU", "Sigmoid")
_KNOWN = ("Transformer", "Pooling", "Dense", "LayerNorm", "Normalize", "Dropout")

Layer = Callable[[Any], Any]


def open_sentences(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`sentence-embedding`."""
    modules = _modules(path)
    own = _transformer(path / "sentence_bert_config.json")
    texts = Texts(path, spec, network.model, own.get("max_seq_length"))
    prompt = _prompt(path, spec.prompt)
    pooling = _Pooling(path, modules[1][1], _prompt_tokens(texts, prompt))
    layers, width = _layers(path, modules[2:], network, pooling.width)
    lower = bool(own.get("do_lower_case"))

    def prepare(inputs: Mapping[str, Array]) -> Encoded:
        rows = [prompt + text for text in strings(inputs["text"])]
        return texts.encode([_lower(text) for text in rows] if lower else rows)

    def compute(network: Network, rows: Encoded, wanted: Collection[str]) -> dict[str, Column]:
        def call(group: Encoded) -> dict[str, Array]:
            arguments = network.moved(texts.padded(group))
            hidden = network.computed(arguments).last_hidden_state.float()
            vectors = pooling.pooled(hidden, arguments["attention_mask"])
            for layer in layers:
                vectors = layer(vectors)
            return network.arrays({"embedding": vectors})

        return texts.in_groups(rows, call)

    return Task(
        inputs=(TensorSpec("text", "string", (None,)),),
        outputs=(TensorSpec("embedding", "float32", (None, width)),),
        prepare=prepare,
        compute=compute,
        cut=cut_rows,
        examples=texts.examples,
        try_out=texts.try_padding,
    )


class _Pooling:
    """The module after the network: states of the tokens to one vector.

    Attributes:
      width: of the vector.
    """

    def __init__(self, path: Path, folder: str, prompt_tokens: int) -> None:
        file = path / folder / "config.json"
        config = _json(file)
        if not config:
            raise LoadError(f"{file} is missing or empty; expected how the tokens are pooled")
        modes = config.get("pooling_mode") or [
            mode for key, mode in _OLD_POOLING.items() if config.get(key)
        ]
        self._modes = [modes] if isinstance(modes, str) else list(modes or ["mean"])
        if unknown := [mode for mode in self._modes if mode not in _POOLING]:
            raise LoadError(f"{file}: found pooling {unknown}, expected {', '.join(_POOLING)}")
        width = config.get("embedding_dimension", config.get("word_embedding_dimension"))
        self.width = int(width) * len(self._modes) if width else None
        self._skipped = 0 if config.get("include_prompt", True) else prompt_tokens

    def pooled(self, hidden: Any, mask: Any) -> Any:
        """One vector for each row, from states [row, token, width] and the mask of real tokens."""
        import torch

        if self._skipped:
            mask = mask.clone()
            mask[:, : self._skipped] = 0
        return torch.cat([_pooled(mode, hidden, mask) for mode in self._modes], dim=-1)


def _pooled(mode: str, hidden: Any, mask: Any) -> Any:
    import torch

    rows = torch.arange(len(hidden), device=hidden.device)
    if mode == "cls":
        return hidden[rows, mask.int().argmax(1)]
    if mode == "lasttoken":
        last = mask.shape[1] - 1 - mask.flip(1).int().argmax(1)
        return hidden[rows, last] * mask[rows, last].unsqueeze(-1)
    shares = mask.unsqueeze(-1).to(hidden.dtype)
    if mode == "max":
        return hidden.masked_fill(shares == 0, float("-inf")).max(1).values
    if mode == "weightedmean":
        places = torch.arange(1, mask.shape[1] + 1, device=hidden.device, dtype=hidden.dtype)
        shares = shares * places.unsqueeze(-1)
    total = shares.sum(1).clamp(min=1e-9)
    if mode == "mean_sqrt_len_tokens":
        total = total.sqrt()
    return (hidden * shares).sum(1) / total


def _layers(
    path: Path, modules: Sequence[tuple[str, str]], network: Network, width: int | None
) -> tuple[list[Layer], int | None]:
    """What becomes of the vectors, and how wide they are then."""
    import torch

    made: list[Layer] = []
    for kind, folder in modules:
        if kind == "Normalize":
            made.append(torch.nn.functional.normalize)
        elif kind == "Dense":
            layer, width = _dense(path / folder, network)
            made.append(layer)
        elif kind == "LayerNorm":
            width = int(_json(path / folder / "config.json")["dimension"])
            made.append(_loaded(torch.nn.LayerNorm(width), "norm.", path / folder, network))
    return made, width


def _dense(folder: Path, network: Network) -> tuple[Layer, int]:
    import torch

    file = folder / "config.json"
    config = _json(file)
    reads = config.get("module_input_name") or "sentence_embedding"
    if reads != "sentence_embedding" or (config.get("module_output_name") or reads) != reads:
        raise LoadError(f"{file}: found a layer of '{reads}', expected one of 'sentence_embedding'")
    named = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    activation = named.rpartition(".")[2]
    if not named.startswith("torch.nn.") or activation not in _ACTIVATIONS:
        expected = ", ".join(_ACTIVATIONS)
        raise LoadError(f"{file}: found the activation '{named}', expected torch.nn's {expected}")
    width = int(config["out_features"])
    plain = torch.nn.Linear(int(config["in_features"]), width, bias=bool(config.get("bias", True)))
    linear = _loaded(plain, "linear.", folder, network)
    after = getattr(torch.nn, activation)()
    return lambda vectors: after(linear(vectors)), width


def _loaded(layer: Any, prefix: str, folder: Path, network: Network) -> Any:
    """A layer with the weights of its folder, in float32 on the device."""
    file = folder / "model.safetensors"
    if not file.is_file():
        if (folder / "pytorch_model.bin").is_file():
            raise UntrustedArtifactError(
                f"{folder} has its weights in pytorch_model.bin, a pickle, which could run code; "
                "convert them with `python -m pipeline safetensors FOLDER`, or load the model "
                "where you trust it, with sentence-transformers, and save it again"
            )
        raise LoadError(f"{folder} has no model.safetensors, the weights of its layer")
    with needs_package("safetensors", extra="transformers"):
        from safetensors.torch import load_file
    weights = {
        name.removeprefix(prefix): tensor.float() for name, tensor in load_file(file).items()
    }
    layer.load_state_dict(weights)
    return layer.to(network.model.device).eval()


def _modules(path: Path) -> list[tuple[str, str]]:
    """The modules of a folder, each as (class, folder of its files).

    Raises:
      LoadError: there is none, or one that is not known here.
    """
    file = path / MODULES
    try:
        listed: Any = json.loads(file.read_text())
        modules = [(str(entry["type"]), str(entry.get("path") or "")) for entry in listed]
    except FileNotFoundError:
        raise LoadError(
            f"{path} has no {MODULES}, as sentence-transformers writes it; without it use "
            "`task: feature-extraction`"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LoadError(f"{file} is not a list of modules: {error}") from error
    kinds = [name.rpartition(".")[2] for name, _ in modules]
    for (name, folder), kind in zip(modules, kinds, strict=True):
        if not name.startswith("sentence_transformers.") or kind not in _KNOWN:
            raise LoadError(f"{file}: found the module '{name}', expected {', '.join(_KNOWN)}")
        if folder and leads_out(folder):
            raise LoadError(f"{file}: found the folder '{folder}', expected one in its own")
    if kinds[:2] != ["Transformer", "Pooling"] or {"Transformer", "Pooling"} & {*kinds[2:]}:
        found = ", ".join(kinds) or "none"
        raise LoadError(f"{file}: found the modules {found}, expected Transformer, Pooling, ...")
    if modules[0][1]:
        raise LoadError(
            f"{file}: found the Transformer in the folder '{modules[0][1]}', expected it beside "
            f"{MODULES}: save the model again with sentence-transformers"
        )
    return [(kind, folder) for kind, (_, folder) in zip(kinds, modules, strict=True)]


def _transformer(file: Path) -> dict[str, Any]:
    """How the network is called, as the file of its module says it.

    Raises:
      LoadError: not for the states of a text's tokens, or with options of the call.
    """
    config = _json(file)
    modality = config.get("modality_config") or {"text": _OF_TEXT}
    found = {
        "transformer_task": config.get("transformer_task", _CALLED["transformer_task"]),
        "module_output_name": config.get("module_output_name") or _CALLED["module_output_name"],
        "modality_config": {"text": modality.get("text")},
        "processing_kwargs": config.get("processing_kwargs") or {},
    }
    for key, value in found.items():
        if value != _CALLED[key]:
            raise LoadError(f"{file}: found `{key}: {value}`, expected {_CALLED[key]}")
    return config


def _prompt(path: Path, name: str | None) -> str:
    """The text that is put before each text: the one of that name, or the folder's default.

    Raises:
      LoadError: the folder has no prompt of that name.
    """
    config = _json(path / _PROMPTS)
    prompts = config.get("prompts") or {}
    chosen = name or config.get("default_prompt_name")
    if chosen is None:
        return ""
    if chosen not in prompts:
        known = ", ".join(prompts) or "none"
        raise LoadError(f"{path / _PROMPTS} has no prompt '{chosen}'; its prompts are {known}")
    return prompts[chosen] or ""


def _prompt_tokens(texts: Texts, prompt: str) -> int:
    """Tokens of a prompt, without the special one at its end."""
    if not prompt:
        return 0
    (row,) = texts.encode([prompt])
    ids = row["input_ids"]
    return len(ids) - (ids[-1] in texts.tokenizer.all_special_ids)


def _lower(text: str) -> str:
    """Each character by itself, as sentence-transformers' tokenizers do it."""
    return "".join(character.lower() for character in text)


def _json(file: Path) -> dict[str, Any]:
    """A file's keys; none where it does not exist."""
    if not file.is_file():
        return {}
    try:
        found: Any = json.loads(file.read_text())
    except ValueError as error:
        raise LoadError(f"{file} is not JSON: {error}") from error
    return found if isinstance(found, dict) else {}

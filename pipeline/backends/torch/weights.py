"""Reads the weights of a PyTorch network from a file, under the network's own names.

Training scripts rarely save a bare state dict. So this module also reads a state dict inside a
dictionary (beside an epoch and an optimizer), names with a common prefix (``module.`` of data
parallel training, ``model.`` of a Lightning module), names with the parts that wrappers put in
(``_orig_mod`` of `torch.compile`), and safetensors. Names are changed only if they are exactly the
network's own afterwards, so nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from pipeline.backends.failures import needs_package
from pipeline.errors import LoadError, UntrustedArtifactError

Weights = Mapping[str, Any]

_WRAPPERS = {"module", "_orig_mod"}
_LENGTH_BYTES = 8
_SHOWN = 6


def is_safetensors(file: Path) -> bool:
    """Whether a file has the format safetensors: it begins with the length of a JSON header."""
    with file.open("rb") as stream:
        head = stream.read(_LENGTH_BYTES + 1)
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    return head[_LENGTH_BYTES:] == b"{" and _LENGTH_BYTES + length <= file.stat().st_size


def read_weights(file: Path, names: Collection[str]) -> Weights:
    """The weights in a file, on the CPU.

    Args:
      file: of `torch.save`, or safetensors.
      names: those that the network has.

    Raises:
      UntrustedArtifactError: it holds pickled objects other than tensors.
      LoadError: it holds no weights, or more than one set of them.
    """
    if is_safetensors(file):
        with needs_package("safetensors", extra="transformers"):
            from safetensors.torch import load_file
        return _named_as(names, load_file(file))
    return _named_as(names, _state_dict(file, unpickled(file)))


def unpickled(file: Path) -> Any:
    """What `torch.save` wrote, on the CPU, if it is made of tensors and plain values.

    Raises:
      UntrustedArtifactError: it holds other pickled objects.
    """
    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        if foreign is None:
            raise
        raise UntrustedArtifactError(
            f"{file} holds a pickled {foreign[1]}, and loading it would run code; save only the "
            "weights, with torch.save(model.state_dict(), path), or the whole network with "
            "torch.export or as TorchScript (MLflow: serialization_format='pt2')"
        ) from error


def _state_dict(file: Path, found: Any) -> Weights:
    """The state dict that an object from a file is, or contains."""
    if not isinstance(found, Mapping):
        raise LoadError(
            f"{file} holds a {type(found).__name__}, not a state dict; save the weights, with "
            "torch.save(model.state_dict(), path)"
        )
    if not found or _is_state_dict(found):  # empty: a network without parameters
        return found
    inside = {str(key): value for key, value in found.items() if _is_state_dict(value)}
    if len(inside) == 1:
        return next(iter(inside.values()))
    held = ", ".join(map(str, list(found)[:_SHOWN])) + (", ..." if len(found) > _SHOWN else "")
    what = f"state dicts under {', '.join(inside)}" if inside else "no state dict in it"
    raise LoadError(
        f"{file} holds a dictionary ({held}) with {what}, expected one; save the "
        "weights alone, with torch.save(model.state_dict(), path)"
    )


def _is_state_dict(value: Any) -> bool:
    """Whether it maps names to tensors; a network may have saved other state beside them."""
    import torch

    if not isinstance(value, Mapping) or not value:
        return False
    return all(
        isinstance(key, str) and (isinstance(each, torch.Tensor) or key.endswith("_extra_state"))
        for key, each in value.items()
    )


def _named_as(names: Collection[str], weights: Weights) -> Weights:
    """The weights under the network's names if only wrappers changed these; else as they are."""
    wanted = set(names)
    for renamed in _renamed(wanted, weights):
        if renamed.keys() == wanted and len(renamed) == len(weights):
            return renamed
    return weights


def _renamed(wanted: Collection[str], weights: Weights) -> Iterator[Weights]:
    """Possible names of the weights, the most likely first."""
    bare = {_without_wrappers(name): value for name, value in weights.items()}
    for some in (weights, bare):
        yield some
        for prefix in _prefixes(wanted, some):
            yield {name.removeprefix(prefix): value for name, value in some.items()}


def _prefixes(wanted: Collection[str], weights: Weights) -> list[str]:
    """The prefix of the network's own names, if all have the same."""
    one = max(wanted, key=len, default="")
    before = {name.removesuffix(one) for name in weights if name.endswith(f".{one}")}
    return [prefix for prefix in before if all(name.startswith(prefix) for name in weights)]


def _without_wrappers(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)

"""Pickled weights of a folder, as people saved them for years, written once more as safetensors.

Only tensors are read: torch's unpickler without code (`weights_only`) refuses everything else.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.backends.failures import loading, needs_package
from pipeline.backends.model_files import with_content
from pipeline.backends.onnx.companions import leads_out
from pipeline.backends.torch.weights import unpickled
from pipeline.errors import LoadError

PICKLE = "pytorch_model.bin"
_SAFE = "model.safetensors"
_INDEX = ".index.json"
_PART = ".part"


def pickled_folders(path: Path) -> list[Path]:
    """The folder and those in it (layers of sentence-transformers) that have pickled weights only.

    Those that were converted before are left out.

    Raises:
      LoadError: there is none, or all were converted already, or one has other safetensors.
    """
    if not path.is_dir():
        raise LoadError(f"{path} is not a folder on this machine; expected one with {PICKLE}")
    folders = [path, *sorted(entry for entry in path.iterdir() if entry.is_dir())]
    found = [f for f in folders if any((f / name).is_file() for name in (PICKLE, PICKLE + _INDEX))]
    if not found:
        names = ", ".join(sorted(entry.name for entry in path.iterdir())[:10]) or "nothing"
        raise LoadError(f"{path} has no {PICKLE} and no {PICKLE}{_INDEX}; it holds {names}")
    left = [folder for folder in found if not _is_converted(folder)]
    for folder in left or found:
        # The last file of a run is its index, so parts without one are of a run that was killed.
        own = set() if _is_converted(folder) else set(map(_safe_name, _parts(_index(folder))))
        beside = {file.name for file in folder.glob("*.safetensors*")} - own
        if there := sorted(name for name in beside if not name.endswith(_PART)):
            raise LoadError(f"{folder} has {there[0]} already; remove it to convert {PICKLE} again")
    return left


def _is_converted(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (_SAFE, f"{_SAFE}{_INDEX}"))


def convert(folder: Path) -> list[Path]:
    """Writes the weights of a folder as safetensors beside the pickles, which stay.

    Tensors that share memory are written under each of their names: the model ties them again. No
    file has its name before all of them are written.

    Raises:
      UntrustedArtifactError: a file holds more than tensors.
      LoadError: it holds something else, or a file is missing.
    """
    with needs_package("torch"):
        import torch  # noqa: F401
    with needs_package("safetensors", extra="transformers"):
        from safetensors.torch import save_file
    index = _index(folder)
    parts = _parts(index)
    made: dict[Path, Path] = {}
    try:
        for part in parts:
            unfinished = _unfinished(made, folder / _safe_name(part))
            tensors = _tensors(folder / part)
            with loading(folder / part, "weights"):
                save_file(tensors, unfinished, metadata={"format": "pt"})
            # It makes files that nobody else may read.
            unfinished.chmod(stat.S_IMODE((folder / part).stat().st_mode))
        if index:
            index["weight_map"] = {key: _safe_name(p) for key, p in index["weight_map"].items()}
            unfinished = _unfinished(made, folder / f"{_SAFE}{_INDEX}")
            unfinished.write_text(json.dumps(index, indent=2))
        for target, unfinished in made.items():
            unfinished.replace(target)
    finally:
        for unfinished in made.values():
            unfinished.unlink(missing_ok=True)
    return list(made)


def _unfinished(made: dict[Path, Path], target: Path) -> Path:
    made[target] = target.with_name(target.name + _PART)
    return made[target]


def _safe_name(part: str) -> str:
    return f"{part.removeprefix('pytorch_').removesuffix('.bin')}.safetensors"


def _index(folder: Path) -> dict[str, Any] | None:
    """Which file has which weight; None where one file has all."""
    file = folder / f"{PICKLE}{_INDEX}"
    if (folder / PICKLE).is_file() or not file.is_file():
        return None
    try:
        index: dict[str, Any] = json.loads(file.read_text())
        parts = {str(part) for part in index["weight_map"].values()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LoadError(f"{file} is not an index of weights: {error}") from error
    for part in sorted(parts):
        if leads_out(part) or not part.endswith(".bin"):
            raise LoadError(f"{file} names weights in '{part}', expected a .bin file in its folder")
    return index


def _parts(index: dict[str, Any] | None) -> list[str]:
    return sorted(set(index["weight_map"].values())) if index else [PICKLE]


def _tensors(file: Path) -> dict[str, Any]:
    import torch

    if not file.is_file():
        raise LoadError(f"{file} is missing")
    with_content(file)
    with loading(file, "pickled weights"):
        found = unpickled(file)
    if not isinstance(found, Mapping) or not found:
        raise LoadError(f"{file} holds a {type(found).__name__}, expected weights by their names")
    others: Sequence[str] = [
        str(key)
        for key, value in found.items()
        if not isinstance(key, str) or not isinstance(value, torch.Tensor)
    ]
    if others:
        raise LoadError(
            f"{file} holds something else than tensors by their names: {', '.join(others[:4])}"
        )
    compact = torch.contiguous_format
    with loading(file, "weights"):  # sparse ones cannot be laid out so
        return {name: value.detach().clone(memory_format=compact) for name, value in found.items()}

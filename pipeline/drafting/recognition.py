"""Finds the framework that reads a file or folder, by names and, if needed, by content."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import PurePosixPath

from pipeline.backends import catboost, lightgbm, xgboost
from pipeline.backends.onnx import backend as onnx
from pipeline.backends.sklearn import backend as sklearn
from pipeline.backends.tensorflow import backend as tensorflow
from pipeline.backends.torch import backend as torch

Head = Callable[[], bytes]

FRAMEWORK_SUFFIXES: dict[str, tuple[str, ...]] = {
    "sklearn": sklearn.SUFFIXES,
    "onnx": onnx.SUFFIXES,
    "torch": torch.SUFFIXES,
    "tensorflow": tensorflow.SUFFIXES,
    "xgboost": xgboost.SUFFIXES,
    "lightgbm": lightgbm.SUFFIXES,
    "catboost": catboost.SUFFIXES,
}
"""Framework -> the endings of its files."""

ALSO_OTHER_FILES = (".json", ".txt", ".model", ".bst", ".sav", ".bin")
"""Endings of models that files of other kinds have, too: their content tells."""
_TRANSFORMERS_WEIGHTS = (".safetensors", ".safetensors.index.json", "pytorch_model.bin")


def framework_of_file(name: str, head: Head) -> str | None:
    """The framework that reads a file; None if none does.

    Args:
      name: its name or path.
      head: reads its first foreign_files.HEAD_BYTES bytes; called only if the name is not enough.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in ALSO_OTHER_FILES:
        begin = head()
        if begin.startswith(b"tree\n"):
            found = "lightgbm"
        elif begin.startswith(b"{") and b"learner" in begin:
            found = "xgboost"
        elif begin.startswith((b"\x80", b"x")):  # a pickle; one that joblib compressed by zlib
            found = "sklearn"
        else:
            return None
        return found if suffix in FRAMEWORK_SUFFIXES[found] else None
    return next((name for name, suffixes in FRAMEWORK_SUFFIXES.items() if suffix in suffixes), None)


def framework_of_folder(names: Collection[str]) -> str | None:
    """The framework that reads a folder as a whole; None if none does.

    Args:
      names: the names of the files directly in it.
    """
    if "saved_model.pb" in names or "tfhub_module.pb" in names:
        return "tensorflow"
    if "config.json" in names and any(name.endswith(_TRANSFORMERS_WEIGHTS) for name in names):
        return "transformers"
    return None

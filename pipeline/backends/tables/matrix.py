"""Models with one input, a feature matrix: its name, its features, and the outputs of a trial."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.batch.columns import Array
from pipeline.batch.tensors import TensorSpec, dtype_name
from pipeline.errors import LoadError
from pipeline.spec.model import ColumnInput, ModelSpec


def only_input(path: Path, spec: ModelSpec, kind: str) -> str:
    """The name that the ensemble file gives the feature matrix; X in an unbound entry.

    Args:
      path: the model's file, for the message.
      spec: its entry.
      kind: what it is, such as "a scikit-learn model".

    Raises:
      LoadError: there are other inputs, or it is a constant.
    """
    if spec.is_unbound:
        return "X"
    tensors = list(spec.inputs)
    if len(tensors) != 1 or not isinstance(spec.inputs[tensors[0]], ColumnInput):
        raise LoadError(
            f"{path} is {kind}, which takes exactly one input from a column, its "
            f"feature matrix; `inputs` names {', '.join(tensors)}"
        )
    return tensors[0]


def feature_names(names: Iterable[object] | None) -> tuple[str, ...] | None:
    """The names that a file gives features, None where it gives none or not all are text."""
    found = tuple(names) if names is not None else ()
    return tuple(map(str, found)) if found and all(isinstance(n, str) for n in found) else None


def output_specs(names: tuple[str, ...], tried: dict[str, Array]) -> list[TensorSpec]:
    """The specs of all outputs, with dtype and shape for those that a trial on some rows made."""
    return [
        TensorSpec(name, dtype_name(tried[name]), (None, *tried[name].shape[1:]))
        if name in tried
        else TensorSpec(name)
        for name in names
    ]

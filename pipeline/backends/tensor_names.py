"""Whether the tensors that an ensemble file names are those that a loaded model has."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from pipeline.batch.names import some
from pipeline.batch.tensors import Signature, TensorSpec
from pipeline.errors import LoadError
from pipeline.spec.model import ColumnInput, ModelSpec


def signature_of(
    path: Path,
    spec: ModelSpec,
    inputs: Sequence[TensorSpec] | None,
    outputs: Sequence[TensorSpec] | None,
    optional: Collection[str] = (),
) -> Signature:
    """The signature of a loaded model, once it is known to fit the names of its spec entry.

    An unbound entry names nothing, so everything fits.

    Args:
      path: the model's files, for the message.
      spec: its entry.
      inputs: those it has; None where its format does not list them (nothing is checked then).
      outputs: likewise.
      optional: inputs that need not be bound.

    Raises:
      LoadError: an input or output that the model does not have, an input that is not bound, a
        column bound to an input without axes, or columns bound to inputs with different fixed
        numbers of rows.
    """
    if inputs is not None and not spec.is_unbound:
        _check_inputs(path, spec, inputs, optional)
    if outputs is not None:
        _check_exist(path, "output", spec.outputs, outputs)
    return Signature(
        inputs=None if inputs is None else tuple(inputs),
        outputs=None if outputs is None else tuple(outputs),
        fixed_batch_rows=_fixed_batch_rows(path, spec, inputs or ()),
        optional=frozenset(optional),
    )


def _check_exist(
    path: Path, kind: str, wanted: Collection[str], tensors: Sequence[TensorSpec]
) -> None:
    names = dict.fromkeys(tensor.name for tensor in tensors)
    for name in wanted:
        if name not in names:
            raise LoadError(f"{path} has no {kind} '{name}'; its {kind}s are {some(names)}")


def _check_inputs(
    path: Path, spec: ModelSpec, inputs: Sequence[TensorSpec], optional: Collection[str]
) -> None:
    _check_exist(path, "input", spec.inputs, inputs)
    for tensor in inputs:
        binding = spec.inputs.get(tensor.name)
        if binding is None and tensor.name not in optional:
            raise LoadError(
                f"{path} needs input '{tensor.name}', which `inputs` does not "
                f"bind; its inputs are {some([t.name for t in inputs])}"
            )
        if isinstance(binding, ColumnInput) and tensor.dims == ():
            raise LoadError(
                f"{path} takes a single value for input '{tensor.name}', so it cannot be fed from "
                f"column '{binding.column}'; give it as {{value: ..., dtype: ...}}"
            )


def _fixed_batch_rows(path: Path, spec: ModelSpec, inputs: Sequence[TensorSpec]) -> int | None:
    """Rows that one call must have: the first axis of the inputs that columns feed, where fixed."""
    fixed = {
        tensor.name: tensor.dims[0]
        for tensor in inputs
        if isinstance(spec.inputs.get(tensor.name), ColumnInput)
        and tensor.dims
        and tensor.dims[0] is not None
    }
    if len(set(fixed.values())) > 1:
        found = ", ".join(f"'{name}' {rows}" for name, rows in fixed.items())
        raise LoadError(
            f"{path} takes different numbers of rows at once in its inputs ({found}); one of them "
            "may be a constant: give it as {value: ..., dtype: ...}"
        )
    if 0 in fixed.values():
        names = ", ".join(name for name, rows in fixed.items() if rows == 0)
        raise LoadError(
            f"{path} takes no rows at all: the first axis of its inputs ({names}) is 0; export it "
            "with a variable one"
        )
    return next(iter(fixed.values()), None)

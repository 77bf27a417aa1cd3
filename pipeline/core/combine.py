"""What the combine steps of the ensemble file compute.

Each operation is a pure function on dense columns: arrays whose first axis is the row, text as
object arrays. None changes its arguments, every one works on a batch without rows, and results
that are not finite are left to the encoder, which rejects them. Rows whose *position, order or
comparison* would be made from NaN are refused here, because nothing later could tell.

Dtypes: integers stay integers where the operation has an integer result. "Floating" below means
that float32 and float64 stay, float16 becomes float32, integers and booleans become float64.
Booleans count as 0 and 1. Text and numbers are never mixed, and integers of which no integer type
holds all (int64 and uint64) never turn into floats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never

import numpy as np

from pipeline.core import casts
from pipeline.core.columns import Array, Column, Ragged, apply_by_shape, group_by_shape
from pipeline.core.combine_spec import (
    CombineStep,
    Concat,
    Elementwise,
    Lookup,
    Reduce,
    Round,
    Threshold,
    TopK,
    Vote,
    WeightedMean,
)
from pipeline.core.tensors import describe, dtype_name
from pipeline.errors import RowsError

__all__ = ["apply"]

Read = Mapping[str, Array]


def apply(step: CombineStep, columns: Mapping[str, Column]) -> dict[str, Column]:
    """Computes one combine step.

    Args:
      step: what to compute. A `lookup` must have its labels: a `file` is read before.
      columns: at least the columns that the step reads, all with the same number of rows.

    Returns:
      the columns that the step produces, with as many rows.

    Raises:
      ValueError: under these dtypes and shapes no row can be computed; names the columns.
      RowsError: some rows cannot be computed: position without label, NaN where an order is
        needed, or a ragged row of a length that the operation cannot take.
    """
    read = {name: columns[name] for name in step.columns_read()}
    dense = {name: column for name, column in read.items() if not isinstance(column, Ragged)}
    if len(dense) == len(read):
        return dict(_compute(step, dense))
    if not all(len(column) for column in read.values()):
        return {name: Ragged(()) for name in step.columns_written()}
    return _compute_ragged(step, read)


def _compute_ragged(step: CombineStep, read: Mapping[str, Column]) -> dict[str, Column]:
    """Computes rows of one shape together; a shape that is refused costs its own rows only."""
    refusals: list[ValueError] = []

    def compute_group(group: Read) -> Mapping[str, Array]:
        try:
            return _compute(step, group)
        except ValueError as refusal:
            refusals.append(refusal)
            rows = len(next(iter(group.values())))
            raise RowsError(dict.fromkeys(range(rows), str(refusal))) from refusal

    try:
        return apply_by_shape(compute_group, read)
    except RowsError:
        if len(refusals) == len(group_by_shape(list(read.values()))):
            raise refusals[0] from None
        raise


def _compute(step: CombineStep, read: Read) -> Mapping[str, Array]:
    # Overflow and undefined values show in the result; a warning for each batch says nothing more.
    with np.errstate(all="ignore"):
        match step:
            case Reduce():
                return {step.column: _reduce(step, read)}
            case WeightedMean():
                return {step.column: _weighted_mean(step, read)}
            case Vote():
                return {step.column: _vote(step, read)}
            case Elementwise():
                return {step.column: _ELEMENTWISE[step.op](step, read)}
            case TopK():
                return _top_k(step, read)
            case Threshold():
                return {step.column: _threshold(step, read)}
            case Round():
                return {step.column: _round(step, read)}
            case Concat():
                return {step.column: _concat(step, read)}
            case Lookup():
                return {step.column: _lookup(step, read)}
            case _:
                assert_never(step)


def _reduce(step: Reduce, read: Read) -> Array:
    """Reduces several columns element by element, or the last axis of one.

    Shapes: m times ``(rows, *shape)`` -> ``(rows, *shape)``, or ``(rows, ..., n)`` ->
    ``(rows, ...)``. Dtypes: min and max keep it; mean and median are floating; sum and product have
    64 bits for integers and booleans (they wrap around beyond), and float32 for float16.
    """
    if isinstance(step.of, str):
        shortest = 0 if step.op in ("sum", "product") else 1
        values, axis = _with_last_axis(step, read, shortest), -1
    else:
        values, axis = _stacked(step, read, any_numbers=step.op in ("mean", "median")), 0
    match step.op:
        case "mean":
            return np.asarray(_floating(values).mean(axis=axis))
        case "median":
            return np.asarray(np.median(_floating(values), axis=axis))
        case "min":
            return np.asarray(values.min(axis=axis))
        case "max":
            return np.asarray(values.max(axis=axis))
        case "sum":
            return np.asarray(_widened(values).sum(axis=axis))
        case "product":
            return np.asarray(_widened(values).prod(axis=axis))


def _weighted_mean(step: WeightedMean, read: Read) -> Array:
    """Shapes: m times ``(rows, *shape)`` -> ``(rows, *shape)``; floating."""
    values = _floating(_stacked(step, read, any_numbers=True))
    total = sum(step.weights)
    mean: Array = np.zeros_like(values[0])
    for column, weight in zip(values, step.weights, strict=True):
        mean += column * (weight / total)
    return mean


def _vote(step: Vote, read: Read) -> Array:
    """The value with most votes at each place, of equals the one of the column named first.

    Shapes: m times ``(rows, *shape)`` -> ``(rows, *shape)``. Dtype: the columns' common one;
    integers, booleans or text. Floats are refused: equal probabilities are no agreement.
    """
    if any(column.dtype.kind == "f" for column in read.values()):
        raise _refusal(step, "needs labels (integers, text or booleans)", read)
    values = _stacked(step, read, text=True)
    weights = step.weights or (1.0,) * len(values)
    votes = np.zeros(values.shape)
    for column, weight in zip(values, weights, strict=True):
        votes += weight * (values == column)
    # Rounded so that 0.3 ties with 0.1 + 0.2.
    winner = np.round(votes / sum(weights), 9).argmax(axis=0)
    return np.asarray(np.take_along_axis(values, winner[np.newaxis], axis=0)[0])


def _argmax(step: Elementwise, read: Read) -> Array:
    """Position of the highest value, the first of equals: ``(rows, ..., n)`` -> int64."""
    values = _with_last_axis(step, read, 1)
    _reject_nan(step, values)
    return np.asarray(values.argmax(axis=-1), dtype=np.int64)


def _softmax(step: Elementwise, read: Read) -> Array:
    """Exponentials that add up to 1 along the last axis; shape stays, floating."""
    values = _floating(_with_last_axis(step, read, 1))
    # The highest exponent is 0: nothing overflows, and the sum is at least 1.
    exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def _sigmoid(step: Elementwise, read: Read) -> Array:
    """``1 / (1 + exp(-x))`` of each value; shape stays, floating."""
    values = _floating(_one(step, read))
    # Only negative exponents, so nothing overflows.
    decay = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, np.ones_like(decay), decay) / (1 + decay))


_ELEMENTWISE: dict[str, Callable[[Elementwise, Read], Array]] = {
    "argmax": _argmax,
    "softmax": _softmax,
    "sigmoid": _sigmoid,
}


def _top_k(step: TopK, read: Read) -> dict[str, Array]:
    """Positions of the k highest values, highest first, of equals the lower position first.

    Shapes: ``(rows, ..., n)`` -> positions ``(rows, ..., k)`` int64, and scores of the same shape
    in the column's dtype.
    """
    values = _with_last_axis(step, read, step.k)
    _reject_nan(step, values)
    # Sorting backwards, then reading backwards, keeps the lower position of equals in front.
    ascending = values.shape[-1] - 1 - np.argsort(values[..., ::-1], axis=-1, kind="stable")
    positions = ascending[..., ::-1][..., : step.k].astype(np.int64)
    top = {step.column: positions}
    if step.scores is not None:
        top[step.scores] = np.take_along_axis(values, positions, axis=-1)
    return top


def _threshold(step: Threshold, read: Read) -> Array:
    """Whether each value is at least `value`, compared in the column's dtype; shape stays, bool."""
    values = _one(step, read)
    _reject_nan(step, values)
    return np.asarray(values >= step.value)


def _round(step: Round, read: Read) -> Array:
    """Rounds half to even; shape stays.

    Dtype stays, but integers rounded to tens, hundreds... become int64 (127 as int8 would not hold
    its 130). Values too large for that many decimals stay as they are.
    """
    values = _one(step, read)
    decimals = min(max(step.decimals, -300), 300)  # beyond, numpy's power of ten is no number
    if values.dtype.kind == "f":
        rounded = np.round(values, decimals)
        return np.where(np.isfinite(rounded), rounded, values)
    if values.dtype.kind == "b" or decimals >= 0:
        return values
    return np.round(_widened(values), decimals)


def _concat(step: Concat, read: Read) -> Array:
    """Joins columns along the last axis: ``(rows, ..., n_i)`` -> ``(rows, ..., sum of n_i)``.

    A column of shape ``(rows,)`` counts as ``(rows, 1)``. Dtype: the common one, or text.
    """
    dtype = _common_dtype(step, read, text=True)
    parts = {
        name: column[:, np.newaxis] if column.ndim == 1 else column for name, column in read.items()
    }
    _check_alike(step, read, {name: column.shape[1:-1] for name, column in parts.items()})
    casts.check_join(parts)
    return np.concatenate([parts[name] for name in step.of], axis=-1, dtype=dtype)


def _lookup(step: Lookup, read: Read) -> Array:
    """The label at each position: integers or booleans -> text; shape stays."""
    if step.labels is None:
        raise ValueError(
            f"combine column {step.column!r}: the labels file {step.file!r} was not read"
        )
    positions = _one(step, read)
    if positions.dtype.kind == "f":
        raise _refusal(step, "needs integers", read)
    count = len(step.labels)
    expected = f"0 to {count - 1}" if count else "none, the list of labels is empty"
    outside = (positions < 0) | (positions >= count)

    def message(row: int) -> str:
        found = positions[row][outside[row]].flat[0]
        return (
            f"combine column {step.column!r}: no label for {found} in {step.of!r}, "
            f"expected {expected}"
        )

    _reject_rows(outside, message)
    return np.array(step.labels, dtype=object)[positions.astype(np.intp)]


def _one(step: CombineStep, read: Read) -> Array:
    """The only column that the step reads, which must hold numbers."""
    _common_dtype(step, read)
    return next(iter(read.values()))


def _with_last_axis(step: CombineStep, read: Read, shortest: int) -> Array:
    """The only column that the step reads, which must have numbers along a last axis."""
    column = _one(step, read)
    if column.ndim == 1:
        raise _refusal(step, "needs a column with an axis to work along", read)
    if column.shape[-1] < shortest:
        raise _refusal(step, f"needs a last axis of at least {shortest}", read)
    return column


def _stacked(
    step: CombineStep, read: Read, *, text: bool = False, any_numbers: bool = False
) -> Array:
    """The columns in the step's order, of one shape and dtype: ``(m, rows, *shape)``."""
    dtype = _common_dtype(step, read, text=text, any_numbers=any_numbers)
    _check_alike(step, read, {name: column.shape[1:] for name, column in read.items()})
    return np.stack([read[name] for name in step.columns_read()], dtype=dtype)


def _check_alike(step: CombineStep, read: Read, shapes: Mapping[str, tuple[int, ...]]) -> None:
    needs = "that agree in all axes but the last" if step.op == "concat" else "of one shape"
    first, *others = read
    for other in others:
        if shapes[first] != shapes[other]:
            pair = {first: read[first], other: read[other]}
            raise _refusal(step, f"needs columns {needs}", pair)


def _common_dtype(
    step: CombineStep, read: Read, *, text: bool = False, any_numbers: bool = False
) -> np.dtype[Any]:
    """The dtype that holds the values of all columns.

    Args:
      step: named in the refusal.
      read: the columns.
      text: whether the operation takes text.
      any_numbers: whether integers may become floating to have a common dtype.
    """
    for name, column in read.items():
        try:
            dtype_name(column)
        except TypeError as error:
            raise ValueError(f"combine column {step.column!r}: {name!r} {error}") from None
    is_text = {name: column.dtype.kind in "OSU" for name, column in read.items()}
    if any(is_text.values()) and not text:
        raise _refusal(step, "needs numbers", read)
    if any(is_text.values()) and not all(is_text.values()):
        raise _refusal(step, "cannot mix text and numbers", read)
    common = np.result_type(*(column.dtype for column in read.values()))
    floating = any(column.dtype.kind == "f" for column in read.values())
    if common.kind == "f" and not floating and not any_numbers:
        raise _refusal(step, "needs one integer type that holds all values", read)
    return common


def _floating(values: Array) -> Array:
    """float64 stays, float32 and float16 become float32, all else float64."""
    if values.dtype.kind != "f":
        return values.astype(np.float64)
    return values.astype(np.float32) if values.dtype.itemsize < 4 else values


def _widened(values: Array) -> Array:
    """The dtype in which values add up: 64 bits for integers, at least 32 for floats."""
    if values.dtype.kind == "f":
        return _floating(values)
    return values.astype(np.uint64 if values.dtype.kind == "u" else np.int64)


def _reject_nan(step: CombineStep, values: Array) -> None:
    if values.dtype.kind == "f":
        name = step.columns_read()[0]
        _reject_rows(
            np.isnan(values),
            lambda _: f"combine column {step.column!r}: {step.op} of {name!r}, which holds NaN",
        )


def _reject_rows(bad: Array, message: Callable[[int], str]) -> None:
    """Raises RowsError for the rows in which any element of `bad` is true."""
    rows = np.flatnonzero(bad.any(axis=tuple(range(1, bad.ndim))))
    if rows.size:
        raise RowsError({int(row): message(int(row)) for row in rows})


def _refusal(step: CombineStep, needs: str, found: Read) -> ValueError:
    columns: Sequence[str] = [
        f"{name!r} {describe(dtype_name(column), column.shape[1:])}"
        for name, column in found.items()
    ]
    listed = ", ".join(columns[:-1]) + " and " + columns[-1] if len(columns) > 1 else columns[0]
    return ValueError(f"combine column {step.column!r}: {step.op} {needs}, found {listed}")

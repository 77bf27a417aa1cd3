"""What the prepare steps of the ensemble file compute.

Each operation is a pure function of a column, and computes every row by itself. None changes its
argument. That a column has a type that the operation takes was checked before
(:mod:`pipeline.core.prepare_types`); what a *value* may still be wrong with is told row by row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

import numpy as np

from pipeline.core import casts, prepare_image, prepare_text
from pipeline.core.columns import Array, Column, Ragged
from pipeline.core.prepare_spec import (
    Cast,
    Concat,
    DecodeImage,
    Lower,
    Normalize,
    OneHot,
    Pad,
    PrepareStep,
    Resize,
    Scale,
    Tokenize,
)
from pipeline.core.prepare_values import Bad, each_value
from pipeline.core.tensors import FLOATS, numpy_dtype
from pipeline.errors import RowsError, SpecError

__all__ = ["apply", "check_ready"]


def apply(step: PrepareStep, columns: Mapping[str, Column]) -> dict[str, Column]:
    """Computes one prepare step.

    Args:
      step: what to compute, as `check_ready` lets it pass.
      columns: at least those that the step reads, with at least one row.

    Returns:
      the columns that the step produces, with as many rows.

    Raises:
      RowsError: some rows cannot be computed; the reason of each, without the step's name.
    """
    if isinstance(step, Concat):
        return {step.column: _concat(step.of, columns)}
    column = columns[step.of]
    # Overflow shows in the result, where it is looked for.
    with np.errstate(all="ignore"):
        match step:
            case DecodeImage():
                return {step.column: prepare_image.decode(step, column)}
            case Resize():
                return {step.column: prepare_image.resize(step, column)}
            case Normalize():
                return {step.column: prepare_image.normalize(step, column)}
            case Scale():
                return {step.column: each_value(column, lambda values: _scale(step, values))}
            case OneHot():
                return {step.column: each_value(column, lambda values: _one_hot(step, values))}
            case Cast():
                return {step.column: each_value(column, lambda values: _cast(step, values))}
            case Lower():
                return {step.column: each_value(column, prepare_text.lower)}
            case Pad():
                return {step.column: _pad(step, column)}
            case Tokenize():
                return prepare_text.tokenize(step, column)
            case _:
                assert_never(step)


def check_ready(step: PrepareStep) -> None:
    """Makes sure that a step can run in this process.

    Raises:
      SpecError: a package is not installed, or its tokenizer cannot be read.
    """
    try:
        if isinstance(step, DecodeImage | Resize):
            prepare_image.check_installed()
        elif isinstance(step, Tokenize):
            prepare_text.check_tokenizer(step)
        elif isinstance(step, OneHot) and step.depth is None and not step.labels:
            raise ValueError(f"has the labels file {step.file!r}, which was not read")
    except ValueError as problem:
        raise SpecError(f"prepare step '{step.column}' ({step.op}) {problem}") from problem


def _concat(names: Sequence[str], columns: Mapping[str, Column]) -> Array:
    """``(rows, ..., n_i)`` -> ``(rows, ..., sum of n_i)``, in the dtype that holds all.

    A column of shape ``(rows,)`` counts as ``(rows, 1)``.

    Raises:
      RowsError: rows with an integer that the floats beside it cannot hold.
    """
    dense = {name: np.asarray(columns[name]) for name in names}
    casts.check_join(dense)
    wide = {n: part[:, np.newaxis] if part.ndim == 1 else part for n, part in dense.items()}
    return np.concatenate([wide[name] for name in names], -1)


def _scale(step: Scale, values: Array) -> tuple[Array, Bad]:
    """``value * factor + offset``, or ``(value - min) / (max - min)``.

    Shape stays. Dtype: float32 for float32, float16, booleans and integers of up to 16 bits, else
    float64. Bad is a value whose result is beyond the dtype's range.
    """
    floating = values.astype(np.result_type(values.dtype, np.float32))
    if step.min is not None and step.max is not None:
        scaled = (floating - step.min) / (step.max - step.min)
    else:
        scaled = floating * step.factor + step.offset
    name = scaled.dtype.name
    return scaled, _bad(~np.isfinite(scaled), values, f"whose result {name} cannot hold")


def _one_hot(step: OneHot, values: Array) -> tuple[Array, Bad]:
    """``(...)`` -> ``(..., labels)`` float32: 1 at the label's position, else 0.

    Bad is a value that is no label.
    """
    if step.depth is not None:
        count, expected = step.depth, f"expected 0 to {step.depth - 1}"
        inside = (values >= 0) & (values < count)
        positions = np.where(inside, values.astype(np.int64), -1)
    else:
        labels = step.labels or ()
        count, expected = len(labels), f"which is none of the {len(labels)} labels"
        position_of = {label: i for i, label in enumerate(labels)}
        found = [position_of.get(value, -1) for value in values.tolist()]
        positions = np.array(found, dtype=np.int64)
    hot = np.zeros((len(values), count), dtype=np.float32)
    hot[np.arange(len(values)), positions] = 1.0
    return hot, _bad(positions < 0, values, expected)


def _cast(step: Cast, values: Array) -> tuple[Array, Bad]:
    """The same values, shape stays, as `dtype`.

    Bad is what the dtype cannot hold (:mod:`pipeline.core.casts`): beyond its range, fractions in
    integers, other than 0 and 1 in booleans, integers that a float would round, text that is no
    finite number, bytes that are not UTF-8. Floats and text become nearest floats.
    """
    if step.dtype in ("string", "bytes"):
        return prepare_text.as_text(step.dtype, values)
    if values.dtype.kind == "O":
        return prepare_text.parse_numbers(step.dtype, values)
    cast = values.astype(numpy_dtype(step.dtype))
    bad = casts.lost(values, step.dtype)
    if bad is None:
        bad = np.zeros(values.shape, dtype=bool)
    if step.dtype in FLOATS:
        bad = bad | ~np.isfinite(cast)
    return cast, _bad(bad, values, f"expected {step.dtype}")


def _pad(step: Pad, column: Column) -> Array:
    """``(rows, any, ...)`` -> ``(rows, length, ...)``, same dtype; filled, or cut, at the end.

    Raises:
      RowsError: rows that are longer, when they are not to be cut.
    """
    lengths = (
        [len(row) for row in column.rows]
        if isinstance(column, Ragged)
        else [column.shape[1]] * len(column)
    )
    if not step.truncate and max(lengths) > step.length:
        raise RowsError(
            {
                row: f"found {length} values, expected at most {step.length}"
                for row, length in enumerate(lengths)
                if length > step.length
            }
        )
    like = column.rows[0] if isinstance(column, Ragged) else column[0]
    filling = ("" if like.dtype.kind == "O" else 0) if step.value is None else step.value
    padded = np.full((len(column), step.length, *like.shape[1:]), filling, dtype=like.dtype)
    if isinstance(column, Ragged):
        for i, row in enumerate(column.rows):
            padded[i, : len(row)] = row[: step.length]
    else:
        padded[:, : column.shape[1]] = column[:, : step.length]
    return padded


def _bad(bad: Array, values: Array, expected: str) -> Bad:
    positions = np.flatnonzero(bad)
    found = values[positions].tolist()  # as Python's own: numpy shows np.int64(3)
    return {
        int(i): f"found {value!r}, {expected}" for i, value in zip(positions, found, strict=True)
    }

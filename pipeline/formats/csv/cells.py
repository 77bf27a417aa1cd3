"""What the cells of a CSV row stand for.

A field is one column of its name. A tensor is a JSON list in its cell, or, with one axis, a column
for each value: ``x_0``, ``x_1``... (also ``x.0`` or ``x[0]``); with any shape, the columns that the
field names. Cells have no types of their own: that of a field is read as its dtype says, any other
is text. An empty cell is null, except where the field is text; so is one that the dialect calls
missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.batch.columns import Array, BatchColumn
from pipeline.batch.exact_number import exact_json, exact_number
from pipeline.batch.tensors import FLOATS, INTEGERS, numpy_dtype
from pipeline.formats import arrow_columns
from pipeline.formats.arrow_columns import cast_numbers
from pipeline.formats.csv.dialect import RFC_4180, Dialect
from pipeline.formats.fields import FieldDecoder, IrregularError
from pipeline.spec.record import FieldSpec

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_CODE = re.compile(r"[+-]?0[0-9]")
_INTEGER = re.compile(r"\+?[0-9]+|-[1-9][0-9]*")  # -0 is a float
_NANS = ("nan", "NaN", "NAN")


def one_each(spec: FieldSpec, found: Sequence[int]) -> bool:
    """Whether each of the cells of a field holds one value, and none a list."""
    return spec.columns is not None or len(spec.shape) == (1 if len(found) > 1 else 0)


def value(cells: Sequence[str], spec: FieldSpec | None, dialect: Dialect = RFC_4180) -> Any:
    """What the cells of one field stand for, as JSON would have it; text that is not, as it is.

    Args:
      cells: those at its places in the header.
      spec: its dtype and shape; None for a key that is not declared.
      dialect: how numbers and missing values are written.
    """
    if spec is None:
        return cells[0]
    if not spec.shape:
        return _scalar(cells[0], spec.dtype, dialect)
    if len(cells) > 1 or spec.columns is not None:
        return [_scalar(cell, spec.dtype, dialect) for cell in cells]
    if cells[0] in dialect.missing:
        return None
    is_list = cells[0].lstrip().startswith("[")
    if spec.shape != (1,) or is_list:
        try:
            return orjson.loads(cells[0]) if cells[0] else None
        except orjson.JSONDecodeError:
            if spec.shape != (1,):
                return cells[0]
    only = _scalar(cells[0], spec.dtype, dialect)  # the column is the first and only one, `x_0`
    return None if only is None else [only]


def repeated(cells: Sequence[str], spec: FieldSpec | None, dialect: Dialect = RFC_4180) -> Any:
    """What predictions repeat of the cells of one field: `value`, its numbers as they are written.

    They have all their digits, and no fraction that is not there. Digits behind a 0 are those of a
    code: such a cell stays text.
    """
    found = value(cells, spec, dialect)
    if spec is None or spec.dtype not in (*FLOATS, *INTEGERS):
        return found
    if len(cells) == 1 and isinstance(found, list) and cells[0].lstrip().startswith("["):
        is_exact = orjson.dumps(found).decode() == cells[0].replace(" ", "")
        return found if is_exact else exact_json(cells[0])
    if not isinstance(found, list):
        return _as_written(cells[0], found, dialect)
    return [_as_written(cell, one, dialect) for cell, one in zip(cells, found, strict=True)]


def _as_written(cell: str, found: Any, dialect: Dialect) -> Any:
    """The number that a cell was read as, or what it was read as in place of one."""
    if type(found) not in (int, float):
        return found
    text = cell.strip()
    if _CODE.match(text):
        return cell
    if type(found) is int or not math.isfinite(found):
        return found
    return (
        int(text) if _INTEGER.fullmatch(text) else exact_number(text.replace(dialect.decimal, "."))
    )


def column(
    cells: Sequence[pa.Array], decoder: FieldDecoder, dialect: Dialect = RFC_4180
) -> BatchColumn:
    """The column of a field, masked where it may lack values.

    Args:
      cells: of each of its places the cells, a row each: text, or float64, int64 or uint64 for
        a field of numbers.
      decoder: of the field.
      dialect: how numbers and missing values are written.

    Raises:
      IrregularError: at least one value may be wrong.
    """
    spec = decoder.spec
    if are_texts(spec, dialect):
        return arrow_columns.column(cells[0], decoder)
    if spec.dtype not in (*FLOATS, *INTEGERS) or not one_each(spec, range(len(cells))):
        return decoder.column([value(row, spec, dialect) for row in _rows(cells)])
    if decoder.keeps_missing:
        return _with_gaps(cells, decoder, dialect)
    numbers = [_numbers(of_place, spec.dtype, dialect) for of_place in cells]
    return _rows_of(np.stack(numbers, axis=1), spec) if spec.shape else numbers[0]


def are_texts(spec: FieldSpec | None, dialect: Dialect) -> bool:
    """Whether each cell of a field, or of a key that is not declared, is its value as it stands."""
    if spec is None:
        return True
    return spec.dtype == "string" and not spec.shape and not dialect.missing


def texts(cells: pa.Array) -> list[str]:
    """The cells of one place."""
    found: list[str] = cells.to_numpy(zero_copy_only=False).tolist()
    return found


def _with_gaps(cells: Sequence[pa.Array], decoder: FieldDecoder, dialect: Dialect) -> BatchColumn:
    """The column of a field of numbers that may lack values; its cells are text."""
    spec = decoder.spec
    trimmed = [pc.utf8_trim_whitespace(of_place) for of_place in cells]
    nothing = {"", *dialect.missing, *(_NANS if spec.dtype in FLOATS else ())}
    present = [~_are_among(cell, text, nothing) for cell, text in zip(cells, trimmed, strict=True)]
    if not spec.shape:
        (text,), (there,) = trimmed, present
        if not there.any():
            return decoder.masked(None, there)
        return decoder.masked(_parsed(text.filter(pa.array(there)), spec.dtype, dialect), there)
    if spec.dtype not in FLOATS:
        return decoder.column([value(row, spec, dialect) for row in _rows(cells)])
    matrix = np.full((len(trimmed[0]), len(trimmed)), np.nan, numpy_dtype(spec.dtype))
    for place, (text, there) in enumerate(zip(trimmed, present, strict=True)):
        if there.any():
            found = _parsed(text.filter(pa.array(there)), spec.dtype, dialect)
            matrix[there, place] = found
    return decoder.masked(_rows_of(matrix, spec), np.ones(len(matrix), dtype=bool))


def _rows_of(matrix: Array, spec: FieldSpec) -> Array:
    """Values side by side, as rows of the field's shape."""
    return matrix.reshape((len(matrix), *(n or 0 for n in spec.shape)))


def _rows(cells: Sequence[pa.Array]) -> Iterable[Sequence[str]]:
    return zip(*map(texts, cells), strict=True)


def _numbers(cells: pa.Array, dtype: str, dialect: Dialect) -> Array:
    """The numbers of cells of which none may be missing."""
    if cells.null_count:
        raise IrregularError
    if not pa.types.is_string(cells.type):
        return cast_numbers(cells.to_numpy(), dtype)
    text = pc.utf8_trim_whitespace(cells)
    if dialect.missing and _are_among(cells, text, dialect.missing).any():
        raise IrregularError
    return _parsed(text, dtype, dialect)


def _are_among(cells: pa.Array, trimmed: pa.Array, words: Collection[str]) -> Array:
    """For each cell, whether it is one of some words, as it stands or without blanks around it."""
    listed = pa.array(sorted(words))
    found: Array = pc.is_in(trimmed, listed).to_numpy(zero_copy_only=False)
    if any(word != word.strip() for word in words):
        found = found | pc.is_in(cells, listed).to_numpy(zero_copy_only=False)
    return found


def _parsed(text: pa.Array, dtype: str, dialect: Dialect) -> Array:
    """The numbers in texts without blanks around them."""
    if dialect.decimal != "." and dtype in FLOATS:
        if pc.any(pc.match_substring(text, ".")).as_py():
            raise IrregularError
        text = pc.replace_substring(text, dialect.decimal, ".")
    if dtype in INTEGERS:
        if pc.any(pc.match_substring(text, "x", ignore_case=True)).as_py():
            raise IrregularError  # Arrow takes 0x10 for 16
        text = pc.replace_substring_regex(text, r"^\+([0-9])", r"\1")  # and no +5
    try:
        numbers = pc.cast(text, arrow_number(dtype))
    except pa.ArrowInvalid:
        raise IrregularError from None
    return cast_numbers(numbers.to_numpy(), dtype)


def arrow_number(dtype: str) -> pa.DataType:
    """What Arrow reads the numbers of a field of numbers as."""
    if dtype in FLOATS:
        return pa.float64()
    return pa.uint64() if dtype == "uint64" else pa.int64()


def _scalar(cell: str, dtype: str, dialect: Dialect) -> Any:
    if cell in dialect.missing:
        return None
    if dtype in ("string", "bytes"):
        return cell
    text = cell.strip()
    if not text or text in dialect.missing:
        return None
    if dtype == "bool":
        return _BOOLEANS.get(text.lower(), cell)
    if not text.isascii() or "_" in text:  # digits and separators that only Python knows
        return cell
    if dialect.decimal != "." and dtype in FLOATS:
        if "." in text:  # between thousands, or before a fraction after all: nobody can tell
            return cell
        text = text.replace(dialect.decimal, ".")
    try:
        return float(text) if dtype in FLOATS else int(text)
    except ValueError:
        return cell

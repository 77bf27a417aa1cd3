"""Values of one declared field, as a record holds them, turned into a column.

There are two ways, which agree on every input. `column`, and `column_of_buffers` for lists of
numbers that are no Python objects, take all values of a block at once and give up
(:class:`IrregularError`) at the first that is not plainly right; `row` takes one value and either
returns its array or says exactly what is wrong with it.

Formats that have bytes deliver them as such, JSON and CSV as base64 text
(:mod:`pipeline.formats.base64_text`). Where a field is text, bytes are UTF-8.
"""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Sequence
from decimal import Decimal
from itertools import chain
from typing import Any, Literal
from uuid import UUID

import numpy as np

from pipeline.batch import columns
from pipeline.batch.columns import Array, BatchColumn, Column, Masked, Ragged
from pipeline.batch.exact_number import ExactNumber
from pipeline.batch.tensors import (
    FLOATS,
    INTEGERS,
    Shape,
    describe,
    numpy_dtype,
    placeholders,
)
from pipeline.errors import RecordError
from pipeline.formats.base64_text import from_base64
from pipeline.formats.lookup import kind_of
from pipeline.spec.record import FieldSpec

# struct refuses what a dtype cannot hold (text, null, fractions and overflow in integers) and packs
# three times as fast as numpy converts nested lists. It takes booleans for numbers, though.
_PACK = dict(zip((*INTEGERS, *FLOATS), "bhiqBHIQefd", strict=True))

BufferType = Literal["d", "i", "u"]
"""float64, int64, uint64: what a library hands over that makes no Python number of each."""
_WIDE: dict[BufferType | None, np.dtype[Any]] = {
    "d": np.dtype("float64"),
    "i": np.dtype("int64"),
    "u": np.dtype("uint64"),
}
_NUMBERS = (int, float, Decimal, ExactNumber)
_TEXTS = {str, bytes, UUID}
_NATIVE: dict[str, type] = {"string": str, "bytes": bytes}


class IrregularError(Exception):
    """Some value of the block needs a closer look."""


class FieldDecoder:
    """Turns values of one field into arrays of its dtype and shape.

    Args:
      name: the field's, for messages.
      spec: its dtype and shape, and whether it may lack a value. Null and NaN are none; inside a
        vector of floats, where such a field is one, they stay as NaN.
      flat: whether a tensor of several axes may be one flat list, as formats without nested lists
        have it.

    Attributes:
      spec: as given.
      keeps_missing: whether it may lack a value: its columns are masked then.
    """

    def __init__(self, name: str, spec: FieldSpec, *, flat: bool = False) -> None:
        self.spec = spec
        self.keeps_missing = spec.keeps_missing
        self._nan_inside = spec.keeps_missing and bool(spec.shape) and spec.dtype in FLOATS
        self._flat = flat and len(spec.shape) > 1
        self._name = name
        self._dtype = numpy_dtype(spec.dtype)
        self._expected = describe(spec.dtype, spec.shape)
        self._ragged = None in spec.shape
        self._pack = _PACK.get(spec.dtype)

    def column(self, values: Sequence[Any]) -> BatchColumn:
        """All `values` as one column.

        Returns:
          array of shape ``(len(values), *shape)``, or ragged when the shape has a variable axis
          and rows differ; masked where the field may lack a value.

        Raises:
          IrregularError: at least one value may be wrong.
        """
        if not self.keeps_missing:
            return self.complete(values)
        if values and None not in values:  # most often none is missing
            with contextlib.suppress(IrregularError):
                return self.masked(self.complete(values), np.ones(len(values), dtype=bool))
        present = np.array([not is_missing(value) for value in values], dtype=bool)
        there = [value for value, has in zip(values, present, strict=True) if has]
        return self.masked(self.complete(there) if there else None, present)

    def column_of_rows(self, rows: Sequence[Array | None]) -> BatchColumn:
        """What `row` returned of some values as one column."""
        there = [row for row in rows if row is not None]
        if not self.keeps_missing:
            return columns.from_rows(there)
        present = np.array([row is not None for row in rows], dtype=bool)
        return self.masked(columns.from_rows(there) if there else None, present)

    def masked(self, values: Column | None, present: Array) -> Masked:
        """The column of a field that may lack a value.

        Args:
          values: of the rows that have one; None where there are none.
          present: for each row, whether it has one.
        """
        if values is None:
            nothing = placeholders(self.spec.dtype, self.spec.shape, len(present))
            return Masked(nothing, present)
        return columns.spread(values, present)

    def complete(self, values: Sequence[Any]) -> Column:
        """The same of values of which none is missing: not masked."""
        if self._flat:
            values = [nested(value, self.spec.shape) for value in values]
        if self._ragged:
            try:
                return columns.from_rows([self._array(value) for value in values])
            except RecordError:
                raise IrregularError from None
        rows: Sequence[Any] = values
        for length in self.spec.shape[:-1]:
            rows = self._flatten(rows, length)
        if self._pack is None:
            return self._objects(values, rows)
        return self._numbers(values, rows)

    def column_of_buffers(self, buffers: Sequence[Any]) -> Column:
        """One list of numbers a value as one column; the field has one axis.

        Args:
          buffers: the numbers of each value, of the field's `buffer_type`.

        Returns, Raises: see `column`.
        """
        wide = _WIDE[self.buffer_type]
        numbers = np.frombuffer(b"".join(buffers), dtype=wide)
        lengths = [memoryview(buffer).nbytes // wide.itemsize for buffer in buffers]
        with np.errstate(over="ignore"):  # found as infinity below
            flat = numbers.astype(self._dtype)
        fits = np.isfinite(flat) if self.spec.dtype in FLOATS else flat == numbers
        if not fits.all() or (not self._ragged and set(lengths) != set(self.spec.shape)):
            raise IrregularError
        if len(set(lengths)) == 1:
            return flat.reshape(len(buffers), lengths[0])
        return Ragged(np.split(flat, np.cumsum(lengths)[:-1]))

    def row(self, value: Any) -> Array | None:
        """One value as an array of the field's dtype and shape; None where it is missing.

        Raises:
          RecordError: it has another type or shape, is not finite, or missing from a field that may
            not lack it; names field, found, expected.
        """
        return None if self.keeps_missing and is_missing(value) else self._array(value)

    def _array(self, value: Any) -> Array:
        flat: list[Any] = []
        if self._flat:
            value = nested(value, self.spec.shape)
        shape = self._walk(value, 0, "", flat)
        if self._pack is None:
            array = np.empty(len(flat), dtype=self._dtype)
            array[:] = flat
            return array.reshape(shape)
        packed = struct.pack(f"{len(flat)}{self._pack}", *flat)
        return np.frombuffer(packed, dtype=self._dtype).reshape(shape)

    @property
    def buffer_type(self) -> BufferType | None:
        """What a list of its numbers is taken as: float64, int64, uint64; None if it is no list.

        A field that may lack values has none: what is read that way has no nulls.
        """
        if len(self.spec.shape) != 1 or self._pack is None or self.keeps_missing:
            return None
        if self.spec.dtype in FLOATS:
            return "d"
        return "u" if self.spec.dtype == "uint64" else "i"

    def empty(self) -> BatchColumn:
        """The column of a batch without rows."""
        if self.keeps_missing:
            return self.masked(None, np.zeros(0, dtype=bool))
        return placeholders(self.spec.dtype, self.spec.shape, 0)

    # --- all at once

    def _flatten(self, rows: Sequence[Any], length: int | None) -> list[Any]:
        if set(map(type, rows)) != {list} or set(map(len, rows)) != {length}:
            raise IrregularError
        return list(chain.from_iterable(rows))

    def _numbers(self, values: Sequence[Any], rows: Sequence[Any]) -> Array:
        try:
            if self.spec.shape:
                if set(map(type, rows)) != {list}:
                    raise IrregularError
                pack = struct.Struct(f"{self.spec.shape[-1]}{self._pack}").pack
                if self._nan_inside:
                    rows = [[math.nan if n is None else n for n in row] for row in rows]
                packed = b"".join([pack(*row) for row in rows])
            else:
                packed = struct.pack(f"{len(rows)}{self._pack}", *rows)
        except (struct.error, OverflowError):
            raise IrregularError from None
        flat = np.frombuffer(packed, dtype=self._dtype)
        if self.spec.dtype in FLOATS and not self._are_allowed(flat):
            raise IrregularError
        if self._has_boolean(flat, rows):
            raise IrregularError
        return flat.reshape((len(values), *self.spec.shape))

    def _are_allowed(self, floats: Array) -> bool:
        return bool(np.isfinite(floats).all()) or (self._nan_inside and not np.isinf(floats).any())

    def _has_boolean(self, flat: Array, rows: Sequence[Any]) -> bool:
        """Whether one of the packed values was a boolean, which only a 0 or a 1 can have been."""
        suspects = np.flatnonzero((flat == 0) | (flat == 1))
        if len(suspects) > len(flat) // 8:  # one by one, they would take longer than all at once
            leaves = chain.from_iterable(rows) if self.spec.shape else rows
            return bool in set(map(type, leaves))
        length = self.spec.shape[-1] if self.spec.shape else None
        if length is None:
            return any(type(rows[at]) is bool for at in suspects.tolist())
        return any(type(rows[at // length][at % length]) is bool for at in suspects.tolist())

    def _objects(self, values: Sequence[Any], rows: Sequence[Any]) -> Array:
        flat = self._flatten(rows, self.spec.shape[-1]) if self.spec.shape else list(rows)
        dtype, found = self.spec.dtype, set(map(type, flat))
        if found - ({bool} if dtype == "bool" else _TEXTS):
            raise IrregularError
        if dtype != "bool" and found != {_NATIVE[dtype]}:
            try:
                flat = [_native(value, dtype) for value in flat]
            except ValueError:
                raise IrregularError from None
        array = np.empty(len(flat), dtype=self._dtype)
        array[:] = flat
        return array.reshape((len(values), *self.spec.shape))

    # --- one by one

    def _walk(self, value: Any, axis: int, where: str, flat: list[Any]) -> tuple[int, ...]:
        """Appends the leaves of `value` to `flat`; returns its shape from `axis` on."""
        if axis == len(self.spec.shape):
            columns = self.spec.columns
            place = f" in column '{columns[len(flat)]}'" if columns else _at(where)
            flat.append(self._leaf(value, place))
            return ()
        if not isinstance(value, list):
            raise self._error("wrong_type", f"found {kind_of(value)}{_at(where)}")
        wanted = self.spec.shape[axis]
        if wanted is not None and len(value) != wanted:
            raise self._error("wrong_shape", f"found {_count(len(value))}{_at(where)}")
        inner: tuple[int, ...] = tuple(n or 0 for n in self.spec.shape[axis + 1 :])
        for i, part in enumerate(value):
            inner_here = self._walk(part, axis + 1, f"{where}[{i}]", flat)
            if i and inner_here != inner:
                raise self._error("wrong_shape", f"found rows of different length{_at(where)}")
            inner = inner_here
        return (len(value), *inner)

    def _leaf(self, value: Any, where: str) -> Any:
        dtype = self.spec.dtype
        if dtype in ("bool", "string", "bytes"):
            if type(value) not in ((bool,) if dtype == "bool" else _TEXTS):
                raise self._error("wrong_type", f"found {kind_of(value)}{where}")
            try:
                return value if dtype == "bool" else _native(value, dtype)
            except ValueError as error:
                no = "bytes that are not UTF-8" if dtype == "string" else "text that is not base64"
                raise self._error("wrong_type", f"found {no}{where} ({error})") from error
        if value is None and self._nan_inside:
            return math.nan
        if type(value) not in (_NUMBERS if dtype in FLOATS else (int,)):
            raise self._error("wrong_type", f"found {kind_of(value)}{where}")
        try:
            packed = struct.pack(f"1{self._pack}", value)
        except (struct.error, OverflowError):
            kind = "not_finite" if dtype in FLOATS else "out_of_range"
            raise self._error(kind, f"found {_short(value)}{where}, beyond its range") from None
        if dtype in FLOATS and not self._are_allowed(np.frombuffer(packed, dtype=self._dtype)):
            beyond = "" if isinstance(value, float) else ", beyond its range"
            raise self._error("not_finite", f"found {_short(value)}{where}{beyond}")
        return value

    def _error(self, kind: str, found: str) -> RecordError:
        return RecordError(kind, f"field '{self._name}': {found}, expected {self._expected}")


def is_missing(value: Any) -> bool:
    """Whether a value of a record is none: null, or a number that is NaN."""
    return value is None or (type(value) in (float, Decimal) and math.isnan(value))


def nested(value: Any, shape: Shape) -> Any:
    """A flat list cut along the axes of `shape`; as it is, if it is no such list."""
    if not isinstance(value, list) or (value and isinstance(value[0], list)):
        return value
    inner = math.prod(n for n in shape if n is not None)
    if len(value) % inner if None in shape and inner else len(value) != inner:
        return value
    sizes = [len(value) // max(inner, 1) if n is None else n for n in shape]
    for size in reversed(sizes[1:]):
        value = [value[i : i + size] for i in range(0, len(value), max(size, 1))]
    return value


def _native(value: str | bytes | UUID, dtype: str) -> str | bytes:
    """Text for "string", bytes for "bytes"; a UUID is either.

    Raises:
      ValueError: bytes that are not UTF-8, text that is not base64.
    """
    if isinstance(value, UUID):
        return str(value) if dtype == "string" else value.bytes
    if dtype == "string":
        return value if isinstance(value, str) else value.decode()
    return value if isinstance(value, bytes) else from_base64(value)


def _short(number: Any) -> str:
    text = str(number)
    return text if len(text) <= 40 else f"a number of {len(text)} characters"


def _count(n: int) -> str:
    return "1 value" if n == 1 else f"{n} values"


def _at(where: str) -> str:
    return f" at {where}" if where else ""

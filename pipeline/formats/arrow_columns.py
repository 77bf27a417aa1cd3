"""Arrow arrays turned into columns of declared fields, without a Python object for each value.

Arrow keeps the values of all rows of a list column side by side, so a column of equally long lists
already is a matrix (https://arrow.apache.org/docs/format/Columnar.html#variable-size-list-layout).
Numbers are taken as they lie in memory; what has another form than the declared one, a null where
none may be, or a number beyond its range is left to the careful way of reading.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.batch.arrow_values import plain_values
from pipeline.batch.categorical import categorical
from pipeline.batch.columns import Array, BatchColumn, Column, Masked, Ragged
from pipeline.batch.tensors import FLOATS, INTEGERS, numpy_dtype
from pipeline.formats.fields import FieldDecoder, IrregularError
from pipeline.formats.misfits import TypeSystem
from pipeline.spec.record import FieldSpec

_HEAD_ROWS = 256
_NOTHING = pa.null()
_LISTS = {
    kind.id
    for kind in (
        pa.list_(_NOTHING),
        pa.large_list(_NOTHING),
        pa.list_(_NOTHING, 1),
        pa.list_view(_NOTHING),
        pa.large_list_view(_NOTHING),
    )
}
_NUMBERS = {pa.from_numpy_dtype(numpy_dtype(name)).id for name in (*INTEGERS, *FLOATS)}
_EXTENSION = re.compile(r"extension<arrow\.(\w+)[^<>]*>")


def column(array: pa.Array, decoder: FieldDecoder) -> BatchColumn:
    """The column of a field, masked where it may lack values.

    Args:
      array: its values, a row each: numbers, text and so on, or lists of them. A tensor of several
        axes is a list of lists, or one flat list.
      decoder: of the field.

    Returns:
      array of shape ``(rows, *shape)``, or ragged when the shape has a variable axis and rows
      differ. Where dtypes agree it shares the memory of `array` and is read-only.

    Raises:
      IrregularError: at least one value may be wrong.
    """
    if not decoder.keeps_missing:
        return _complete(array, decoder)
    if isinstance(array.type, pa.UuidType):  # its bytes may well be text, of another kind
        return decoder.column(plain_values(array))
    array = _unwrapped(array)
    if _is_list(array.type):  # there may be nulls inside
        return decoder.column(plain_values(array))
    present = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=bool)
    if pa.types.is_floating(array.type):
        present &= ~np.isnan(array.to_numpy(zero_copy_only=False))
    if not present.any():
        return decoder.masked(None, present)
    found = array if present.all() else array.filter(pa.array(present))
    return decoder.masked(_complete(found, decoder), present)


def _complete(array: pa.Array, decoder: FieldDecoder) -> Column:
    """The column of a field of whose values none is missing."""
    spec = decoder.spec
    leaves, lengths = _flattened(array)
    if spec.dtype == "bool" or not _is_number(leaves.type):
        if _matches(leaves.type, spec.dtype) and len(spec.shape) == len(lengths) == 0:
            return _objects(leaves, spec)
        return decoder.complete(plain_values(array))
    values = cast_numbers(leaves.to_numpy(zero_copy_only=False), spec.dtype)
    if not spec.shape and not lengths:
        return values
    if len(spec.shape) == len(lengths) == 1 and spec.shape[0] is None:
        return _rows_of(values, lengths[0])
    if None in spec.shape:
        return decoder.complete(plain_values(array))
    shape: list[int] = [n for n in spec.shape if n is not None]
    expected = [math.prod(shape)] if shape and len(lengths) == 1 else shape
    if len(lengths) != len(expected) or not all(
        (found == wanted).all() for found, wanted in zip(lengths, expected, strict=True)
    ):
        raise IrregularError
    return values.reshape((len(array), *shape))


def cast_numbers(values: Array, dtype: str) -> Array:
    """Numbers in another dtype, as FieldDecoder would convert them one by one.

    Raises:
      IrregularError: a value does not fit: not finite, beyond the range, or no integer.
    """
    wanted, kind = numpy_dtype(dtype), values.dtype.kind
    if not len(values):
        return values.astype(wanted)
    if dtype in FLOATS and kind in "iuf":
        if kind in "iu":
            values = values.astype(np.float64)  # rounds as Python does, also where float32 is next
        if values.dtype != wanted:
            with np.errstate(over="ignore"):
                values = values.astype(wanted)
        if np.isfinite(values).all():
            return values
    elif dtype in INTEGERS and kind in "iu":
        if np.can_cast(values.dtype, wanted):
            return values.astype(wanted, copy=False)
        limits = np.iinfo(wanted)
        if limits.min <= values.min() and values.max() <= limits.max:
            return values.astype(wanted, copy=False)
    raise IrregularError


def fits(arrow_type: pa.DataType, spec: FieldSpec) -> bool:
    """Whether a column of this type can hold values of a field at all."""
    if pa.types.is_null(arrow_type):
        return spec.keeps_missing
    depth = 0
    arrow_type = _plain_type(arrow_type)
    while _is_list(arrow_type):
        depth, arrow_type = depth + 1, _plain_type(arrow_type.value_type)
    if depth != len(spec.shape) and not (depth == 1 and len(spec.shape) > 1):
        return False
    if spec.dtype in FLOATS:
        return _is_number(arrow_type) or bool(pa.types.is_decimal(arrow_type))
    if spec.dtype in INTEGERS:
        return bool(pa.types.is_integer(arrow_type))
    if spec.dtype == "bool":
        return bool(pa.types.is_boolean(arrow_type))
    return _matches(arrow_type, "string") or _matches(arrow_type, "bytes")


def id_fits(arrow_type: pa.DataType) -> bool:
    """Whether a column of this type can hold ids."""
    is_uuid = isinstance(arrow_type, pa.UuidType)
    arrow_type = _plain_type(arrow_type)
    exact = pa.types.is_integer(arrow_type) or pa.types.is_decimal(arrow_type)
    return is_uuid or exact or _matches(arrow_type, "string") or _matches(arrow_type, "bytes")


def inside(arrow_type: pa.DataType) -> Mapping[str, pa.DataType] | None:
    """The types of a struct's fields; None if a type is none."""
    arrow_type = _plain_type(arrow_type)
    if not pa.types.is_struct(arrow_type):
        return None
    return {field.name: field.type for field in arrow_type}


def name_of(arrow_type: pa.DataType) -> str:
    """What people call a type: ``list<element: uuid>``."""
    return _EXTENSION.sub(r"\1", str(arrow_type))


TYPES = TypeSystem(fits, id_fits, inside, name_of)


def at_path(array: pa.Array, path: Sequence[str]) -> pa.Array | None:
    """The values at the end of a path through structs; None if these have no such field.

    A null of a struct makes nulls of all that is inside of it.

    Raises:
      IrregularError: something on the way is no struct, or has a field twice.
    """
    for name in path:
        array = _unwrapped(array)
        if not pa.types.is_struct(array.type):
            raise IrregularError
        numbers = array.type.get_all_field_indices(name)
        if not numbers:
            return None
        if len(numbers) > 1:
            raise IrregularError
        array = pc.struct_field(array, numbers)
    return array


def together(arrays: Sequence[pa.Array], decoder: FieldDecoder) -> BatchColumn:
    """The column of a field of which each value has a column of its own.

    Args:
      arrays: of each value, a row each.
      decoder: of the field.

    Raises:
      IrregularError: at least one value may be wrong.
    """
    spec = decoder.spec
    single = FieldDecoder("", spec.single)
    parts = []
    for array in arrays:
        part = column(array, single)
        if isinstance(part, Masked):
            if not part.present.all() and spec.dtype not in FLOATS:
                raise IrregularError
            values, there = part.values, part.present
            assert isinstance(values, np.ndarray)
            if not there.all():
                values = np.where(there, values, numpy_dtype(spec.dtype).type(np.nan))
            part = values
        assert isinstance(part, np.ndarray)
        parts.append(part)
    shape = [n or 0 for n in spec.shape]
    found = np.stack(parts, axis=1).reshape((len(arrays[0]), *shape))
    if not decoder.keeps_missing:
        return found
    return decoder.masked(found, np.ones(len(found), dtype=bool))


def _flattened(array: pa.Array) -> tuple[pa.Array, list[Array]]:
    """The values inside all lists, and for each level of lists their lengths."""
    lengths: list[Array] = []
    while True:
        array = _unwrapped(array)
        if array.null_count:
            raise IrregularError
        if not _is_list(array.type):
            return array, lengths
        if pa.types.is_fixed_size_list(array.type):
            lengths.append(np.full(len(array), array.type.list_size))
        else:
            lengths.append(array.value_lengths().to_numpy())
        array = array.flatten()


def _unwrapped(array: pa.Array) -> pa.Array:
    if isinstance(array.type, pa.Bool8Type):
        array = array.storage.cast(pa.bool_())
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array.dictionary_decode() if isinstance(array, pa.DictionaryArray) else array


def _rows_of(values: Array, lengths: Array) -> Column:
    if len(lengths) and (lengths == lengths[0]).all():
        return values.reshape((len(lengths), int(lengths[0])))
    return Ragged(np.split(values, np.cumsum(lengths)[:-1]))


def _objects(leaves: pa.Array, spec: FieldSpec) -> Array:
    kind = leaves.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        head = leaves.slice(0, _HEAD_ROWS)
        if len(leaves) > _HEAD_ROWS and len(head.unique()) < _HEAD_ROWS // 4:
            coded = leaves.dictionary_encode()
            texts = coded.dictionary.to_numpy(zero_copy_only=False)
            return categorical(texts, coded.indices.to_numpy())
    found: Array = leaves.to_numpy(zero_copy_only=False)
    return found.astype(numpy_dtype(spec.dtype), copy=False)


def _plain_type(arrow_type: pa.DataType) -> pa.DataType:
    if isinstance(arrow_type, pa.Bool8Type):
        return pa.bool_()
    if isinstance(arrow_type, pa.BaseExtensionType):
        arrow_type = arrow_type.storage_type
    return arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type


def _is_list(arrow_type: pa.DataType) -> bool:
    return arrow_type.id in _LISTS


def _is_number(arrow_type: pa.DataType) -> bool:
    return arrow_type.id in _NUMBERS


def _matches(arrow_type: pa.DataType, dtype: str) -> bool:
    """Whether values that are no numbers are those of `dtype` as they are."""
    if dtype == "bool":
        return bool(pa.types.is_boolean(arrow_type))
    if dtype == "string":
        texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
        return any(is_kind(arrow_type) for is_kind in texts)
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    kinds = (*binary, pa.types.is_binary_view)
    return dtype == "bytes" and any(is_kind(arrow_type) for is_kind in kinds)

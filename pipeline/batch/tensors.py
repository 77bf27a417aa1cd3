"""Dtype names, tensor specs and signatures, and which values fit which tensor.

A *dtype name* is one of numpy's integer, unsigned and float names, ``bool``, ``string`` or
``bytes``. In memory ``string`` is an object array of ``str`` and ``bytes`` an object array of
``bytes``: numpy's own fixed-width types would pad every row to the longest and strip trailing NULs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float16", "float32", "float64")
DTYPES = (*INTEGERS, *FLOATS, "bool", "string", "bytes")

Shape = tuple[int | None, ...]
"""Axis lengths; ``None`` is an axis whose length varies."""


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The numpy dtype that holds values of the dtype called `name` (object for text)."""
    return np.dtype(object) if name in ("string", "bytes") else np.dtype(name)


def dtype_name(array: np.ndarray[Any, Any]) -> str:
    """The dtype name of an array; that of an object array by its first element.

    Raises:
      TypeError: the array holds something that is not a tensor type (dates, complex numbers...).
    """
    kind = array.dtype.kind
    if kind in "US":
        return "string" if kind == "U" else "bytes"
    if kind == "O":
        first = array.flat[0] if array.size else ""
        if isinstance(first, str):
            return "string"
        if isinstance(first, bytes):
            return "bytes"
        raise TypeError(f"holds {type(first).__name__} objects, which no dtype name covers")
    name = _name_of(array.dtype)
    if name in DTYPES:
        return name
    raise TypeError(f"has dtype {array.dtype}, expected one of {', '.join(DTYPES)}")


@cache
def _name_of(dtype: np.dtype[Any]) -> str:
    """The name of a dtype, which numpy puts together anew each time, in some microseconds."""
    return dtype.name


def placeholders(dtype: str, row_shape: Shape, rows: int) -> np.ndarray[Any, Any]:
    """Zeros or empty text, for rows without a value; an axis whose length varies is empty."""
    shape = (rows, *(n or 0 for n in row_shape))
    if dtype in ("string", "bytes"):
        return np.full(shape, "" if dtype == "string" else b"", dtype=object)
    return np.zeros(shape, dtype=numpy_dtype(dtype))


@dataclass(frozen=True)
class Taken:
    """Which columns a tensor takes, where its dtype alone does not tell.

    Attributes:
      what: they are, in words for messages.
      dtypes: that they may have.
    """

    what: str
    dtypes: tuple[str, ...]


@dataclass(frozen=True)
class TensorSpec:
    """What a model says of one of its tensors; ``None`` for what its format does not say.

    Attributes:
      name: the tensor's name in the model.
      dtype: a dtype name.
      dims: axis lengths *with* the batch axis first.
      features: the file's names of the values of a row, if it has any.
      values: texts or numbers that it knows, if it knows only some, such as the categories of a
        column.
      only: the one integer that it takes, such as the sampling rate that it was trained with.
      usual_length: what its variable axes commonly have, for a model that takes no short rows.
      taken: the columns that it takes, where they are fewer than those that `dtype` can hold.
    """

    name: str
    dtype: str | None = None
    dims: Shape | None = None
    features: tuple[str, ...] | None = None
    values: tuple[str | float, ...] | None = None
    only: int | None = None
    usual_length: int | None = None
    taken: Taken | None = None

    @property
    def row_shape(self) -> Shape | None:
        """The shape of one row: `dims` without the batch axis."""
        return None if self.dims is None else self.dims[1:]

    def __str__(self) -> str:
        return f"{self.name}: {describe(self.dtype, self.row_shape)}"


@dataclass(frozen=True)
class Signature:
    """A model's named inputs and outputs.

    Attributes:
      inputs, outputs: ``None`` if the format does not even list their names.
      fixed_batch_rows: the number of rows of every call, if the model takes only that number.
      optional: the names of inputs that need not be bound.
      takes_examples: whether the model parses serialized tf.Example messages itself.
    """

    inputs: tuple[TensorSpec, ...] | None = None
    outputs: tuple[TensorSpec, ...] | None = None
    fixed_batch_rows: int | None = None
    optional: frozenset[str] = frozenset()
    takes_examples: bool = False


def describe(dtype: str | None, shape: Sequence[int | None] | None) -> str:
    """``float32[64]``, ``int64[any, 3]``, ``string``, and so on; "any" for what is not known."""
    text = dtype or "any dtype"
    if shape is None:
        return f"{text}, any shape"
    return text + (f"[{', '.join('any' if n is None else str(n) for n in shape)}]" if shape else "")


def dtype_fits(have: str, want: str | None) -> bool:
    """Whether values of dtype `have` may be handed to a tensor of dtype `want`.

    Widening is allowed, and so is float64 to float32: models that feed each other often mix
    the two. Casts that change values silently are refused: narrower integers, float to integer,
    numbers to text. ``string`` and ``bytes`` stand in for each other (UTF-8).
    """
    if want is None or have == want:
        return True
    text = ("string", "bytes")
    if have in text or want in text:
        return have in text and want in text
    if want in FLOATS:
        return True
    return bool(np.can_cast(np.dtype(have), np.dtype(want), "safe"))


def shape_fits(have: Sequence[int | None], want: Sequence[int | None] | None) -> bool:
    """Whether rows of shape `have` may be handed to a tensor whose rows have shape `want`.

    An axis of varying length only fits an axis that may vary.
    """
    if want is None:
        return True
    return len(have) == len(want) and all(
        w is None or h == w for h, w in zip(have, want, strict=True)
    )


def column_fits(have: Sequence[int | None], want: Sequence[int | None] | None) -> bool:
    """Whether a column with rows of shape `have` may be handed to a tensor with rows like `want`.

    As `shape_fits`; and a single value fits an axis of one, as models of tables declare an input
    for each of their columns.
    """
    return shape_fits(have, want) or is_single(have, want)


def is_single(have: Sequence[int | None], want: Sequence[int | None] | None) -> bool:
    """Whether a row is a single value, and the tensor has an axis of one for it."""
    return want is not None and tuple(have) == () and tuple(want) == (1,)

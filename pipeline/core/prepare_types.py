"""What a prepare step takes and what comes out of it: dtypes and shapes, before any record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never, cast

import numpy as np

from pipeline.core.model_spec import ConstantInput
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
from pipeline.core.record_spec import DTypeName
from pipeline.core.tensors import FLOATS, INTEGERS, Shape, numpy_dtype

Type = tuple[str, Shape]
"""A dtype name and the shape of a row; None is an axis whose length varies."""

_NUMBERS = (*INTEGERS, *FLOATS)


def types_made(step: PrepareStep, *types: Type) -> dict[str, Type]:
    """The types of the columns that `step` produces.

    Args:
      step: any.
      types: one for each column that it reads.

    Raises:
      ValueError: it cannot read such columns; says what it needs, as in "needs text".
    """
    if isinstance(step, Concat):
        return {step.column: _joined(types)}
    (read,) = types
    dtype, shape = read
    match step:
        case DecodeImage():
            _need(read == ("bytes", ()), "one image file of dtype bytes in each record")
            return {step.column: ("uint8", (None, None, step.channels))}
        case Resize():
            _need(dtype in ("uint8", "float32"), "pixels of dtype uint8 or float32")
            pixels = len(shape) == 2 or (len(shape) == 3 and shape[2] is not None)
            _need(pixels, "pixels [height, width, channels] or [height, width]")
            return {step.column: (dtype, (step.height, step.width, *shape[2:]))}
        case Normalize():
            return {step.column: ("float32", _normalized(step, read))}
        case Scale():
            _need(dtype in (*_NUMBERS, "bool"), "numbers")
            return {step.column: (np.result_type(dtype, np.float32).name, shape)}
        case OneHot():
            return {step.column: ("float32", (*shape, _labels(step, dtype)))}
        case Cast():
            _need(_can_cast(dtype, step.dtype), f"what can become {step.dtype}")
            return {step.column: (step.dtype, shape)}
        case Lower():
            _need(dtype == "string", "text")
            return {step.column: read}
        case Pad():
            return {step.column: (dtype, _padded(step, read))}
        case Tokenize():
            _need(read == ("string", ()), "one text in each record")
            tokens: Type = ("int64", (step.max_length if step.pad else None,))
            return dict.fromkeys(step.columns_written(), tokens)
        case _:
            assert_never(step)


def _joined(types: Sequence[Type]) -> Type:
    dtypes = {dtype for dtype, _ in types}
    numbers = dtypes <= {*_NUMBERS, "bool"}
    _need(numbers or dtypes == {"string"}, "numbers, or text only")
    _need(not any(None in shape for _, shape in types), "columns without a variable axis")
    shapes = [shape or (1,) for _, shape in types]
    outer = {shape[:-1] for shape in shapes}
    _need(len(outer) == 1, "columns that agree in all axes but the last")
    length = sum(shape[-1] or 0 for shape in shapes)
    dtype = np.result_type(*(numpy_dtype(dtype) for dtype in dtypes)).name if numbers else "string"
    return dtype, (*outer.pop(), length)


def _normalized(step: Normalize, read: Type) -> Shape:
    dtype, shape = read
    _need(dtype in _NUMBERS, "numbers")
    for name, values in (("mean", step.mean), ("std", step.std)):
        if isinstance(values, tuple):
            fits = shape[-1:] == (len(values),)
            _need(fits, f"a last axis of {len(values)}, as `{name}` has that many numbers")
    if step.layout == "hwc":
        return shape
    _need(len(shape) == 3, "pixels [height, width, channels] for the layout chw")
    return (shape[2], *shape[:2])


def _labels(step: OneHot, dtype: str) -> int | None:
    if step.depth is not None:
        _need(dtype in (*INTEGERS, "bool"), "integers, as it has a `depth`")
        return step.depth
    if not step.labels:
        return None  # the file was not read
    if isinstance(step.labels[0], str):
        _need(dtype == "string", "text, as its labels are")
    else:
        _need(dtype in INTEGERS, "integers, as its labels are")
    return len(step.labels)


def _can_cast(have: str, want: str) -> bool:
    if have == "bytes" or want == "bytes":
        return {have, want} <= {"string", "bytes"}
    return want != "bool" or have != "string"


def _padded(step: Pad, read: Type) -> Shape:
    dtype, shape = read
    _need(dtype != "bytes", "numbers, booleans or text")
    _need(shape[:1] == (None,) and None not in shape[1:], "rows whose first axis alone varies")
    if step.value is not None:
        try:
            ConstantInput.model_construct(value=step.value, dtype=cast(DTypeName, dtype)).array()
        except ValueError as error:
            raise ValueError(f"needs a `value` of its column's dtype ({error})") from None
    return (step.length, *shape[1:])


def _need(fulfilled: bool, what: str) -> None:
    if not fulfilled:
        raise ValueError(f"needs {what}")

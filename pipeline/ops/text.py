"""Text as columns: lower case, text and numbers, tokens. `tokenizers` is imported where used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from pipeline.batch import columns
from pipeline.batch.columns import Array, Column
from pipeline.batch.tensors import FLOATS, numpy_dtype
from pipeline.errors import RowsError, is_interrupt
from pipeline.ops.values import Bad, each_value
from pipeline.spec.prepare import Lower, Tokenize

_SHOWN_CHARS = 60


def lower(step: Lower, column: Column) -> Column:
    """Text in lower case (``str.lower``); any shape, which stays."""
    return each_value(column, lambda texts: (_objects([text.lower() for text in texts]), {}))


def as_text(dtype: str, values: Array) -> tuple[Array, Bad]:
    """Values as "string" or "bytes".

    Numbers and booleans as JSON has them, text and bytes by UTF-8. Bad are bytes that are not, and
    text with half a character.
    """
    if values.dtype.kind == "b":
        return _objects(["true" if value else "false" for value in values]), {}
    if values.dtype.kind != "O":
        return _objects([str(value) for value in values.tolist()]), {}
    if dtype == "bytes":
        return _converted(values, _encoded, b"")
    return _converted(values, _decoded, "")


def parse_numbers(dtype: str, values: Array) -> tuple[Array, Bad]:
    """Text as numbers, written as Python writes them; spaces around do not count.

    Bad is text that is none, that is not finite, or beyond the range of the dtype.
    """
    target = numpy_dtype(dtype)

    def parse(text: str) -> Any:
        try:
            if "_" in text:  # which Python allows between digits
                raise ValueError
            number = float(text) if dtype in FLOATS else int(text)
            if np.isfinite(value := target.type(number)):
                return value
        except (ValueError, OverflowError):
            pass
        raise ValueError(f"found {_shown(text)}, expected text that is a number of {dtype}")

    objects, bad = _converted(values, parse, target.type(0))
    return objects.astype(target), bad


def tokenize(step: Tokenize, column: Column) -> Column | tuple[Column, Column]:
    """Text -> numbers of tokens, and which of them are not padding where it is asked for.

    Args:
      step: the tokenizer, the most tokens and how to pad.
      column: shape ``(rows,)``, text.

    Returns:
      int64 columns, each row of shape ``(tokens,)``; ``(max_length,)`` when it is to pad.
    """
    texts = [row.item() for row in columns.iterate(column)]
    tokenizer = _tokenizer(step.tokenizer or "", step.max_length)
    encoded = _tokens(tokenizer, texts, step.special_tokens)
    rows = [np.array(one.ids, dtype=np.int64) for one in encoded]
    masks = [np.ones(len(row), dtype=np.int64) for row in rows]
    if step.pad:
        assert step.max_length is not None
        rows = [_filled(row, step.max_length, step.pad_id) for row in rows]
        masks = [_filled(row, step.max_length, 0) for row in masks]
    tokens = columns.from_rows(rows)
    return tokens if step.mask is None else (tokens, columns.from_rows(masks))


def check_tokenizer(step: Tokenize) -> None:
    """Makes sure that a step's tokenizer can be made in this process.

    Raises:
      ValueError: `tokenizers` is not installed, or the JSON is no tokenizer; says which.
    """
    if step.tokenizer is None:
        raise ValueError(f"has the file {step.file!r}, which was not read")
    _tokenizer(step.tokenizer, step.max_length)


@lru_cache(maxsize=8)
def _tokenizer(json: str, max_length: int | None) -> Any:
    # Processes and threads are Beam's to choose; a pool for each process would be one too many.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ValueError(
            f"needs the package 'tokenizers', which cannot be imported ({error}); install the "
            "extra 'transformers', or: pip install tokenizers"
        ) from error
    try:
        tokenizer = Tokenizer.from_str(json)
    except BaseException as error:  # it raises nothing more precise, and may panic
        if is_interrupt(error):
            raise
        raise ValueError(f"cannot read its tokenizer.json: {error}") from error
    tokenizer.no_padding()
    if max_length is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(max_length)
    return tokenizer


def _tokens(tokenizer: Any, texts: list[str], special_tokens: bool) -> list[Any]:
    """The encoding of each text.

    Raises:
      RowsError: the tokenizer panics at some of them.
    """
    try:
        encoded: list[Any] = tokenizer.encode_batch(texts, add_special_tokens=special_tokens)
        return encoded
    except BaseException as error:
        if is_interrupt(error):
            raise
        if len(texts) == 1:
            raise RowsError({0: f"the tokenizer refuses the text: {error}"}) from error
    found, bad = [], {}
    for row, text in enumerate(texts):
        try:
            found += _tokens(tokenizer, [text], special_tokens)
        except RowsError as error:
            bad[row] = error.messages[0]
    if bad:
        raise RowsError(bad)
    return found


def _filled(row: Array, length: int, value: int) -> Array:
    return np.pad(row, (0, length - len(row)), constant_values=value)


def _converted(
    values: Array, convert: Callable[[Any], Any], instead: Any
) -> tuple[Array, dict[int, str]]:
    """Each value converted; `instead` stands for those that raise ValueError."""
    converted = []
    bad: dict[int, str] = {}
    for i, value in enumerate(values):
        try:
            converted.append(convert(value))
        except ValueError as error:
            bad[i] = str(error)
            converted.append(instead)
    return _objects(converted), bad


def _decoded(value: str | bytes) -> str:
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        byte = value[error.start]
        raise ValueError(f"byte {byte:#04x} at position {error.start} is not UTF-8") from None


def _encoded(value: str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"found {_shown(value)}, expected text that UTF-8 can hold") from None


def _objects(values: Iterable[Any]) -> Array:
    """An array of objects as they are; numpy would make fixed-width text of them."""
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _SHOWN_CHARS else f"text of {len(text)} characters"

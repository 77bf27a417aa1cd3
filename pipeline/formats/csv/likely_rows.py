"""Rows of a block that are likely right, found where some row of it is not.

So one bad row among hundreds costs no more than a second look at the block, and not as many as it
takes to find the row by halves.
"""

from __future__ import annotations

import codecs

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.batch.columns import Array
from pipeline.batch.payloads import Lines
from pipeline.batch.tensors import FLOATS, INTEGERS
from pipeline.formats.csv.dialect import Dialect
from pipeline.formats.csv.quotes import quoted_places
from pipeline.spec.record import FieldSpec

_INTEGER = r"^\s*[+-]?[0-9]+\s*$"
_FLOAT = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
_BOOLEAN = r"(?i)^\s*(true|false|[01])\s*$"
_PATTERNS = dict.fromkeys(INTEGERS, _INTEGER) | dict.fromkeys(FLOATS, _FLOAT) | {"bool": _BOOLEAN}
TOLD = frozenset(_PATTERNS)
"""Dtypes whose values are told from other texts."""


def of_width(rows: Lines, width: int, dialect: Dialect) -> Array:
    """Positions of the rows with `width` cells; none where a quote is out of place in any row."""
    text = rows.text + b"\n"
    signs = np.frombuffer(text, np.uint8)
    delimiters, returns = (np.flatnonzero(signs == ord(sign)) for sign in (dialect.delimiter, "\r"))
    if dialect.quote is not None and dialect.quote.encode() in text:
        inside = quoted_places(text, delimiters, dialect.delimiter, dialect.quote)
        if inside is None:
            return np.zeros(0, np.intp)
        delimiters = delimiters[~inside]
        if len(returns):  # those in quotes are part of a cell
            inside = quoted_places(text, returns, dialect.delimiter, dialect.quote)
            assert inside is not None, "it depends on the text alone"
            returns = returns[~inside]
    counts = np.diff(np.searchsorted(delimiters, rows.ends), prepend=0)
    plain = np.array([_is_plain(row) for row in rows], dtype=bool)
    plain[np.searchsorted(rows.ends, returns)] = False
    return np.flatnonzero((counts == width - 1) & plain)


def are_values(cells: pa.Array, spec: FieldSpec, dialect: Dialect) -> Array:
    """For each cell of a field, whether it may be one of its values, or lacks one where it may.

    Args:
      cells: text.
      spec: of the field, whose dtype is one of those that are told.
      dialect: how numbers and missing values are written.
    """
    text = cells
    if dialect.decimal != ".":
        text = pc.replace_substring(cells, dialect.decimal, ".")
    matches = pc.match_substring_regex(text, _PATTERNS[spec.dtype])
    found: Array = matches.to_numpy(zero_copy_only=False)
    if spec.keeps_missing:
        nothing = pa.array(sorted({"", *dialect.missing}))
        trimmed = pc.utf8_trim_whitespace(cells)
        found = found | pc.is_in(trimmed, nothing).to_numpy(zero_copy_only=False)
    return found


def _is_plain(row: bytes) -> bool:
    """Whether the way of blocks reads a row with these bytes at all."""
    if row.startswith(codecs.BOM_UTF8):
        return False
    try:
        row.decode()
    except UnicodeDecodeError:
        return False
    return True

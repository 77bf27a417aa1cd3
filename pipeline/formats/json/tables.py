r"""Tables in JSON: objects of single values, read into columns without an object for each value.

polars reads a block of lines into columns in half the time that objects take, but it lets pass what
nobody here may: of a key that comes twice the first value wins, a number or a list where text is
expected becomes text, an empty line vanishes. Text that could be such a list is read in the other
way; all else shows in three counts over the text of the block. In n objects of which polars found N
values, N_t of them text:

- the rows are as many as the lines;
- the colons outside of text are the keys: N, and one for each `null`, if no key comes twice and
  none is there that nobody knows of (that each null stands in a place of its own is looked at);
- the quotes that are not part of a text are 2 for each key and 2 for each text, if each text stands
  in quotes.

What one side of an equation may hide, such as a colon in a text, is counted in the values found; a
text with escapes that would hide it from that count is read in the other way. No error can make up
for another one, since each adds to the same side. So equal counts mean that the columns are right,
and other counts mean that somebody has to look at the objects one by one.

Source: https://docs.pola.rs/api/python/stable/reference/api/polars.read_ndjson.html
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from pipeline.batch.columns import Array, BatchColumn
from pipeline.batch.payloads import Lines
from pipeline.batch.tensors import FLOATS, INTEGERS
from pipeline.formats import arrow_columns
from pipeline.formats.arrow_columns import cast_numbers
from pipeline.formats.fields import FieldDecoder, IrregularError
from pipeline.spec.record.keys import Key, RecordKey

if TYPE_CHECKING:
    import polars as pl

_FEWEST_FIELDS = 3
_SAMPLE_ROWS = 64
_MOST_UNDECLARED = 256
"""Keys that are remembered."""
_MOST_VAIN = 3
"""Attempts one after the other; behind these, more and more blocks are not tried."""
_MOST_LEFT_OUT = 32
_NULL = re.compile(rb":[ \t\r]*null[ \t\r]*[,}]")
# A quote or a colon that is none in the text, and halves of surrogate pairs, of which polars makes
# characters that were never there.
_HIDDEN = re.compile(rb"\\u(?:0022|003[aA]|[dD][89a-fA-F])")


@dataclass(frozen=True)
class Table:
    """The objects of a block that are plainly right.

    Attributes:
      rows: where they stand in the block, ascending.
      frame: their values, a row each.
    """

    rows: Array
    frame: pl.DataFrame

    def column(self, key: str, decoder: FieldDecoder) -> BatchColumn:
        """The column of a field, masked where it may lack values.

        Raises:
          IrregularError: at least one value may be wrong.
        """
        values, dtype = self.frame[key], decoder.spec.dtype
        if dtype == "string":
            return arrow_columns.column(values.to_arrow(), decoder)
        if dtype not in (*FLOATS, *INTEGERS):
            return decoder.column(values.to_list())
        if not decoder.keeps_missing:
            return cast_numbers(values.to_numpy(), dtype)
        present = values.is_not_null().to_numpy()
        if not present.any():
            return decoder.masked(None, present)
        return decoder.masked(cast_numbers(values.drop_nulls().to_numpy(), dtype), present)

    def values(self, key: str) -> list[Any]:
        """The values of a key as Python objects; None where an object has none."""
        return self.frame[key].to_list() if key in self.frame.columns else [None] * len(self.rows)


class TableReader:
    """Reads objects of single values.

    Args:
      fields: key -> decoder of its field.
      id_key: of the id; None if there is none.
      pass_through: keys whose values predictions repeat as they came.
    """

    def __init__(
        self, fields: Mapping[str, FieldDecoder], id_key: str | None, pass_through: Sequence[str]
    ) -> None:
        self._fields = dict(fields)
        ids = [] if id_key is None else [id_key]
        self._repeated = {*ids, *pass_through}
        needed = [key for key, field in fields.items() if not field.keeps_missing]
        self._needed = tuple(dict.fromkeys([*needed, *ids]))
        self._seen: dict[str, Any] = {}  # keys that no first objects had, with a value each
        self._vain = 0
        self._left_out = 0

    @staticmethod
    def of(
        fields: Mapping[Key, FieldDecoder],
        id_key: RecordKey | None,
        pass_through: Sequence[RecordKey],
    ) -> TableReader | None:
        """The reader of a record; None where there is none.

        That is where values are lists or inside of objects, so few that there is nothing to gain,
        or, of those that predictions repeat, numbers that may be spelled in several ways.
        """
        plain = {key: field for key, field in fields.items() if isinstance(key, str)}
        repeated = [key for key in pass_through if isinstance(key, str)]
        if len(plain) < max(len(fields), _FEWEST_FIELDS) or len(repeated) < len(pass_through):
            return None
        if any(field.spec.shape for field in plain.values()):
            return None
        if any(plain[key].spec.dtype in FLOATS for key in repeated if key in plain):
            return None
        if id_key is not None and not isinstance(id_key, str):
            return None
        return TableReader(plain, id_key, repeated)

    def read(self, payloads: Lines) -> Table:
        """The objects among some payloads that are plainly right.

        What was found in earlier payloads saves time, and changes nothing else.

        Raises:
          IrregularError: they have to be looked at one by one.
        """
        if self._left_out:
            self._left_out -= 1
            raise IrregularError
        try:
            table = self._read(payloads)
            if table is None and self._learn(payloads):
                table = self._read(payloads)
            if table is None:
                raise IrregularError
        except IrregularError:
            self._vain += 1
            if self._vain >= _MOST_VAIN:
                self._left_out = min(1 << (self._vain - _MOST_VAIN), _MOST_LEFT_OUT)
            raise
        self._vain = 0
        return table

    def _read(self, payloads: Lines) -> Table | None:
        """The same; None where the counts differ."""
        rows = np.flatnonzero(_are_whole(payloads))
        table = self._attempt(rows, payloads)
        if table is None:  # some are no JSON, and polars does not say which
            texts = list(payloads)
            valid = [row for row in rows.tolist() if _is_valid(texts[row])]
            table = self._attempt(np.array(valid, np.intp), payloads) if valid else None
        if table is None:
            raise IrregularError
        return table if _is_right(table, _chosen(payloads, table.rows)) else None

    def _learn(self, payloads: Lines) -> bool:
        """Remembers undeclared keys of all objects, if that may make a table of them.

        Raises:
          IrregularError: it cannot, as a key or a value is of a kind that no table has.
        """
        found: dict[str, Any] = {}
        for payload in payloads:
            with suppress(orjson.JSONDecodeError):
                _note(orjson.loads(payload), found)
        undeclared = {key: value for key, value in found.items() if key not in self._fields}
        for key, value in undeclared.items():
            _check_plain(key)
            _type_of_value(value, exact=key in self._repeated)
        new = {
            key: value
            for key, value in undeclared.items()
            if key not in self._seen or (self._seen[key] is None and value is not None)
        }
        if not new or len(self._seen.keys() | new.keys()) > _MOST_UNDECLARED:
            return False
        self._seen |= new
        return True

    def _attempt(self, rows: Array, payloads: Lines) -> Table | None:
        """The table of some rows; None where polars cannot read them.

        Raises:
          IrregularError: it would not read them right.
        """
        try:
            return self._table(rows, _chosen(payloads, rows))
        except (IrregularError, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException:  # polars' panics are no Exception
            return None

    def _table(self, rows: Array, payloads: Lines) -> Table:
        """The rows that lack no value that they need, and whose text is no list and no object."""
        polars = _polars()
        frame = polars.read_ndjson(payloads.text, schema=self._schema(payloads), ignore_errors=True)
        if frame.height != len(payloads):
            raise IrregularError
        bad = [frame[key].is_null() for key in self._needed if frame[key].null_count()]
        if _may_have_lists(payloads):
            texts = (frame[key] for key, kind in frame.schema.items() if kind == polars.String)
            bad += [column.str.contains(r"^[\[{]").fill_null(value=False) for column in texts]
        if not bad:
            return Table(rows, frame)
        whole = ~np.logical_or.reduce([rows.to_numpy() for rows in bad])
        return Table(rows[whole], frame.filter(polars.Series(whole)))

    def _schema(self, payloads: Lines) -> dict[str, Any]:
        """The types of all keys: of those that are not declared, what the first objects have.

        Raises:
          IrregularError: there are other values than single ones.
        """
        polars = _polars()
        types = {key: _type_of_dtype(field.spec.dtype) for key, field in self._fields.items()}
        found: dict[str, Any] = {}
        for payload in payloads.part(0, _SAMPLE_ROWS):
            value = orjson.loads(payload)
            _note(value, found)
            if value.keys() >= found.keys() and None not in found.values():
                break
        known = dict(self._seen)
        _note(found, known)
        for key, value in known.items():
            if key not in types:
                types[key] = _type_of_value(value, exact=key in self._repeated)
            _check_plain(key)
        return {key: getattr(polars, name) for key, name in types.items()}


def _note(value: Any, found: dict[str, Any]) -> None:
    """Adds the keys of an object, with a value that is not null where there is one."""
    if isinstance(value, dict):
        found |= {k: v for k, v in value.items() if v is not None or k not in found}


def _check_plain(key: str) -> None:
    """Makes sure that a key is written without what is counted.

    Raises:
      IrregularError: it is not.
    """
    if '"' in key or ":" in key or "\\" in key:
        raise IrregularError


def _is_right(table: Table, payloads: Lines) -> bool:
    """Whether the counts over the objects of a table agree: see above."""
    text = payloads.text
    signs = np.frombuffer(text, np.uint8)
    colons, quotes = (np.count_nonzero(signs == ord(sign)) for sign in ':"')
    has_escapes = b"\\" in text
    if has_escapes and _HIDDEN.search(text):
        return False
    frame = table.frame
    keys = frame.width * frame.height - sum(frame.null_count().row(0))
    texts = [frame[key] for key, kind in frame.schema.items() if kind == _polars().String]
    found_texts = sum(len(column) - column.null_count() for column in texts)
    if keys < frame.width * frame.height:
        nulls = _nulls(payloads)
        if not _are_nulls(frame, nulls):
            return False
        keys += len(nulls)
    if colons != keys and colons != keys + _count(texts, ":"):
        return False
    inside = _count(texts, '"') if has_escapes else 0
    return bool(quotes == 2 * (keys + found_texts) + inside)


def _nulls(payloads: Lines) -> list[tuple[str, int]]:
    """Each null of the objects: its key and its row."""
    text, found, places = payloads.text, [], []
    for match in _NULL.finditer(text):  # a pattern with the key tries each quote, and takes longer
        end = text.rfind(b'"', 0, match.start())
        if not text[end + 1 : match.start()].strip(b" \t\r"):
            found.append(text[text.rfind(b'"', 0, end) + 1 : end].decode())
            places.append(match.start())
    rows = np.searchsorted(payloads.ends, places)
    return list(zip(found, rows.tolist(), strict=True))


def _are_nulls(frame: pl.DataFrame, nulls: Sequence[tuple[str, int]]) -> bool:
    """Whether no null comes twice in an object, and polars found no value in the place of any."""
    keys = {key for key, _ in nulls}
    if len(set(nulls)) < len(nulls) or not keys <= set(frame.columns):
        return False
    null_of = {key: frame[key].is_null().to_numpy() for key in keys}
    return all(null_of[key][row] for key, row in nulls)


def _are_whole(payloads: Lines) -> Array:
    """For each payload, whether it has braces at both ends."""
    signs, begins, ends = np.frombuffer(payloads.text, np.uint8), payloads.begins, payloads.ends
    filled = np.flatnonzero(ends > begins)
    whole = np.zeros(len(payloads), dtype=bool)
    whole[filled] = (signs[begins[filled]] == ord("{")) & (signs[ends[filled] - 1] == ord("}"))
    return whole


def _is_valid(payload: bytes) -> bool:
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    return True


def _may_have_lists(payloads: Lines) -> bool:
    """Whether there are other brackets than the objects' own."""
    signs = np.frombuffer(payloads.text, np.uint8)
    objects = np.count_nonzero(signs == ord("{"))
    return int(objects) > len(payloads) or bool((signs == ord("[")).any())


def _chosen(payloads: Lines, rows: Array) -> Lines:
    return payloads if len(rows) == len(payloads) else payloads.take(rows.tolist())


def _polars() -> Any:
    if "polars" not in sys.modules:
        # Beam's threads are those of the job: a pool of polars' own would compete with them.
        os.environ.setdefault("POLARS_MAX_THREADS", "1")
    import polars

    return polars


def _count(texts: Sequence[pl.Series], sign: str) -> int:
    """How often a sign is in the values of some columns."""
    return sum(int(column.str.count_matches(sign, literal=True).sum()) for column in texts)


def _type_of_dtype(dtype: str) -> str:
    if dtype in FLOATS:
        return "Float64"
    if dtype in INTEGERS:
        return "UInt64" if dtype == "uint64" else "Int64"
    return "Boolean" if dtype == "bool" else "String"


def _type_of_value(value: Any, *, exact: bool) -> str:
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, int):
        return "Int64" if exact else "Float64"
    if isinstance(value, float) and not exact:
        return "Float64"
    if value is None or isinstance(value, str):
        return "String"
    raise IrregularError

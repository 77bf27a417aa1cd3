"""Rows of CSV files (RFC 4180), whose header names the columns."""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from pipeline.batch.batch import RecordId
from pipeline.batch.block import Block
from pipeline.batch.columns import Array
from pipeline.batch.payloads import Lines
from pipeline.batch.tensors import FLOATS, INTEGERS
from pipeline.errors import RecordError
from pipeline.formats import record_sample
from pipeline.formats.csv import cells as csv_cells
from pipeline.formats.csv import header as csv_header
from pipeline.formats.csv import likely_rows
from pipeline.formats.csv.dialect import Dialect, dialect_of
from pipeline.formats.csv.header import Header, Keys
from pipeline.formats.csv.rows import all_proper, has_bare_returns
from pipeline.formats.decoder import Decoder, Part, payload_hash, record_id_in
from pipeline.formats.fields import IrregularError
from pipeline.formats.ids import regular_ids
from pipeline.formats.lookup import Record
from pipeline.spec.record import FieldSpec, RecordSpec
from pipeline.spec.record.keys import Key, RecordKey

FEWEST_ROWS = 64
"""Of a block whose bad rows are not looked for by halves."""


@dataclass(frozen=True)
class _Layout:
    """What is where in the rows of one header and dialect.

    Attributes:
      dialect: how the rows are written.
      header: the names of the columns.
      places: key -> its cells, of each key that is read and that the header has.
      numbers: cells that Arrow may parse itself, and what as; all others are taken as text.
      problem: why no row can be read; None if they can.
      regular: whether each field has the cells that its shape asks for.
      may_repeat: whether the header, where it comes once more, could be read as a record.
    """

    dialect: Dialect
    header: tuple[str, ...]
    places: dict[Key, tuple[int, ...]]
    numbers: Mapping[int, pa.DataType]
    problem: RecordError | None
    regular: bool
    may_repeat: bool


class CsvDecoder(Decoder):
    """Decodes blocks of CSV rows; see :mod:`pipeline.formats.csv.cells` for what a cell means."""

    careful_rows = 64  # of so many at once, Arrow's call itself takes most of the time

    def __init__(self, record: RecordSpec, pass_through: Sequence[RecordKey] = ()) -> None:
        super().__init__(record, pass_through)
        self._repeated: dict[RecordKey, None] = dict.fromkeys(
            [*([] if record.id is None else [record.id]), *pass_through]
        )
        self._line_ends_of: tuple[Block | None, list[int]] = None, []
        self._layouts: dict[tuple[Header, Dialect, frozenset[Key]], _Layout] = {}

    def plain(self, block: Block) -> Part | None:
        """See Decoder."""
        count, layout = len(block.payloads), self._layout(block)
        if count < FEWEST_ROWS or layout.problem or not layout.regular:
            return None
        part = self._attempt(block, range(count))
        if part is None:
            rows = self._likely_rows(block)
            part = self._attempt(block, rows) if count // 2 <= len(rows) < count else None
        return part

    def _attempt(self, block: Block, rows: Sequence[int]) -> Part | None:
        """The part of some rows; None where one of them has to be looked at by itself."""
        try:
            return self._part(block, rows)
        except Exception:  # as in Decoder: whatever bytes from outside lead a library to
            return None

    def part(self, block: Block, rows: range) -> Part:
        """See Decoder."""
        return self._part(block, rows)

    def _likely_rows(self, block: Block) -> list[int]:
        layout = self._layout(block)
        dialect, payloads = layout.dialect, Lines.of(block.payloads)
        rows = likely_rows.of_width(payloads, len(layout.header), dialect)
        texts = replace(layout, numbers={})
        try:
            cells = parse(payloads.take(rows.tolist()), texts)
        except IrregularError:
            return []
        right = ~_headers(cells, payloads.take(rows.tolist()), layout)
        for name, field in self._fields.items():
            of_field = layout.places.get(name, ())
            if field.spec.dtype in likely_rows.TOLD and csv_cells.one_each(field.spec, of_field):
                for place in of_field:
                    right &= likely_rows.are_values(cells[place], field.spec, dialect)
        likely: list[int] = rows[right].tolist()
        return likely

    def _part(self, block: Block, rows: Sequence[int]) -> Part:
        layout = self._layout(block)
        if layout.problem or not layout.regular:
            raise IrregularError
        payloads = Lines.of(block.payloads)
        payloads = payloads if len(rows) == len(payloads) else payloads.take(rows)
        cells = parse(payloads, layout)
        if layout.may_repeat and _headers(cells, payloads, layout).any():
            raise IrregularError
        part, given = Part(rows), self.given(block)
        for name, field in self._fields.items():
            if name in given and name not in layout.places:
                part.columns[name] = field.column([given[name]] * len(rows))
                continue
            of_field = [cells[place] for place in layout.places[name]]
            part.columns[name] = csv_cells.column(of_field, field, layout.dialect)
        values = {
            name: self._values(name, [cells[p] for p in layout.places[name]], layout.dialect)
            for name in self._repeated
            if name in layout.places
        }
        values |= {
            name: [given[name]] * len(rows)
            for name in self._repeated
            if name in given and name not in values
        }
        if self._id is None:
            part.ids = [payload_hash(block.payloads[row]) for row in rows]
        else:
            part.ids = regular_ids(values[self._id])
        part.extras = list(
            self.extras({name: values[name][i] for name in values} for i in range(len(rows)))
        )
        return part

    def record(self, block: Block, row: int) -> Record:
        """See Decoder."""
        layout = self._layout(block)
        if layout.problem:
            raise layout.problem
        cells = self._row(block, row)
        record: dict[Any, Any] = dict(zip(block.header, cells, strict=True))
        for name, places in layout.places.items():
            of_key = [cells[place] for place in places]
            record[name] = csv_cells.value(of_key, self._spec(name), layout.dialect)
        return record

    def as_it_came(self, block: Block, row: int, record: Record) -> Record:
        """See Decoder."""
        layout = self._layout(block)
        declared = {key: spec for key in self._repeated if (spec := self._spec(key))}
        if layout.places.keys().isdisjoint(declared):
            return record
        cells = self._row(block, row)
        return {**record} | {
            key: csv_cells.repeated(
                [cells[place] for place in layout.places[key]], spec, layout.dialect
            )
            for key, spec in declared.items()
            if key in layout.places
        }

    def id_of_unread(self, block: Block, row: int) -> RecordId:
        """See Decoder; of a file that has another column twice."""
        key, layout = self._id, self._layout(block)
        if key is None or layout.problem is None or layout.problem.kind != "doubled_column":
            return None
        cells, places = self._row(block, row), layout.places.get(key, ())
        if not _named_once(block.header).issuperset(block.header[place] for place in places):
            return None
        told = dict(self.given(block))
        if places:
            of_id = [cells[place] for place in places]
            told[key] = csv_cells.repeated(of_id, self._spec(key), layout.dialect)
        return record_id_in(told, key)

    def undeclared(self, block: Block, row: int) -> dict[str, Any]:
        """See Decoder; cells as they would be in JSON, of columns that can be read."""
        once = _named_once(block.header)
        cells = zip(block.header, self._row(block, row), strict=True)
        named = {name: cell for name, cell in cells if name in once}
        return record_sample.from_cells(named, self._dialect(block).decimal)

    def _row(self, block: Block, row: int) -> list[str]:
        """The cells of a row, one for each name in the header.

        Raises:
          RecordError: there are others, or they are these names.
        """
        header, dialect = block.header, self._dialect(block)
        cells = _cells(block.payloads[row], len(header), dialect)
        if len(cells) != len(header):
            names = ", ".join(header[:8]) + (", ..." if len(header) > 8 else "")
            raise RecordError(
                "wrong_cells",
                f"found {len(cells)} cells, expected {len(header)} as in the header ({names})",
            )
        if csv_header.is_header(cells, header):
            is_first = block.first + row == 1 and dialect.names
            says = csv_header.REPEATED_NAMES if is_first else csv_header.REPEATED_HEADER
            raise RecordError("header_line", says)
        return cells

    def where(self, block: Block, row: int) -> str:
        """See Decoder."""
        told, inside = self._line_ends_of
        if told is not block:
            counts = (payload.count(b"\n") for payload in block.payloads)
            inside = list(accumulate(counts, initial=0))
            self._line_ends_of = block, inside
        return f"{block.source}, line {block.first + row + inside[row]}: "

    def _dialect(self, block: Block) -> Dialect:
        return dialect_of(self._declared.csv, block.source)

    def _layout(self, block: Block) -> _Layout:
        key = block.header, self._dialect(block), frozenset(self.given(block))
        if key not in self._layouts:
            self._layouts[key] = self._new_layout(*key)
        return self._layouts[key]

    def _new_layout(self, header: Header, dialect: Dialect, given: frozenset[Key]) -> _Layout:
        keys: Keys = {key: self._spec(key) for key in (*self._fields, *self._repeated)}
        found = csv_header.places(keys, header)
        places = {key: of_key for key, of_key in found.items() if of_key}
        texts = {place for key in self._repeated for place in places.get(key, ())}
        numbers: dict[int, pa.DataType] = {}
        regular = True
        for name, field in self._fields.items():
            of_field = places.get(name, ())
            if isinstance(name, str) and len(of_field) > 1:
                regular &= len(of_field) == field.spec.shape[0]
            if field.keeps_missing:
                continue  # only a text can be compared with those that are missing
            if field.spec.dtype not in (*FLOATS, *INTEGERS):
                continue
            if csv_cells.one_each(field.spec, of_field):
                numbers |= dict.fromkeys(of_field, csv_cells.arrow_number(field.spec.dtype))
        problem = None
        if lacks := csv_header.lacking(self._declared, header, given):
            problem = RecordError("no_header", csv_header.not_a_header(header, lacks, dialect))
        elif twice := next(csv_header.doubled(keys, header), None):
            problem = RecordError("doubled_column", twice)
        if dialect.missing:
            numbers = {}  # only a text can be compared with those that are missing
        numbers = {place: kind for place, kind in numbers.items() if place not in texts}
        may_repeat = csv_header.may_be_record(self._declared, header, dialect)
        return _Layout(dialect, header, places, numbers, problem, regular, may_repeat)

    def _values(self, name: Key, cells: Sequence[pa.Array], dialect: Dialect) -> list[Any]:
        spec = self._spec(name)
        if csv_cells.are_texts(spec, dialect):
            return csv_cells.texts(cells[0])
        rows = zip(*map(csv_cells.texts, cells), strict=True)
        return [csv_cells.repeated(row, spec, dialect) for row in rows]

    def _spec(self, name: Key) -> FieldSpec | None:
        field = self._fields.get(name)
        return field.spec if field else None


def parse(rows: Lines, layout: _Layout) -> dict[int, pa.Array]:
    """The cells of each place that is read: text, or float64, int64 or uint64.

    Raises:
      IrregularError: a row has too few or too many cells or bad quotes, or a number is none.
    """
    text = rows.text
    # Arrow is more lenient than the careful way of reading: outside of quotes it takes a \r for the
    # end of a row, and an empty line for one with all of its cells empty, and it passes over a byte
    # order mark wherever its text begins.
    if (
        (len(layout.header) > 1 and (rows.ends == rows.begins).any())
        or (b"\r" in text and has_bare_returns(rows, layout.dialect))
        or text.startswith(codecs.BOM_UTF8)
        or not (text.isascii() or _is_utf8(text))
        or not all_proper(rows, layout.dialect)
    ):
        raise IrregularError
    numbers = layout.numbers
    floats = {place: kind for place, kind in numbers.items() if kind == pa.float64()}
    if b"x" in text or b"X" in text:  # Arrow takes 0x10 for 16: `cells` looks at each
        numbers = floats
    table = _read(text, layout, numbers)
    if table is None and b"+" in text:  # which Arrow refuses in an integer, and `cells` takes
        table = _read(text, layout, floats)
    if table is None or table.num_rows != len(rows):
        raise IrregularError
    return {int(name): table.column(name).combine_chunks() for name in table.column_names}


def _read(text: bytes, layout: _Layout, numbers: Mapping[int, pa.DataType]) -> pa.Table | None:
    """The places that are read: those of `numbers` as these, others as text; None if Arrow cannot.

    That is where a row has another number of cells, or a number is none.
    """
    types = {
        str(place): numbers.get(place, pa.string())
        for places in layout.places.values()
        for place in places
    }
    try:
        return arrow_csv.read_csv(
            pa.BufferReader(text),
            arrow_csv.ReadOptions(
                # Not the header's own names: those need not differ.
                column_names=[str(place) for place in range(len(layout.header))],
                use_threads=pa.cpu_count() > 1,
                block_size=len(text) + 1,
            ),
            arrow_csv.ParseOptions(
                delimiter=layout.dialect.delimiter,
                quote_char=layout.dialect.quote or False,
                newlines_in_values=True,
                ignore_empty_lines=False,
            ),
            arrow_csv.ConvertOptions(
                column_types=types,
                include_columns=list(types),
                decimal_point=layout.dialect.decimal,
            ),
        )
    except pa.ArrowInvalid:
        return None


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


@lru_cache(8)
def _named_once(header: Header) -> frozenset[str]:
    return frozenset(name for name, times in Counter(header).items() if times == 1)


def _headers(cells: Mapping[int, pa.Array], rows: Lines, layout: _Layout) -> Array:
    """For each row, whether it is the header once more.

    Args:
      cells: of the places that are read, as `parse` returns them.
      rows: as they are written.
      layout: of the rows.
    """
    header, dialect = layout.header, layout.dialect
    found = np.full(len(rows), layout.may_repeat)
    for place, of_place in cells.items():
        if not found.any():
            break
        name = header[place]
        if pa.types.is_string(of_place.type):  # there may be blanks around the name
            same = pc.match_substring(of_place, name)
        else:
            same = pc.equal(of_place, float(name.replace(dialect.decimal, ".")))
        found &= np.asarray(same.fill_null(False).to_numpy(zero_copy_only=False))
    for row in np.flatnonzero(found).tolist():
        found[row] = csv_header.is_header(_cells(rows[row], len(header), dialect), header)
    return found


def _cells(payload: bytes, columns: int, dialect: Dialect) -> list[str]:
    """The cells of one row, as text.

    Raises:
      RecordError: it is empty, not UTF-8, or its quotes are not those of CSV.
    """
    if not payload and columns > 1:
        raise RecordError("empty", f"the line is empty, expected {columns} cells")
    try:
        return dialect.cells(payload) or [""]
    except UnicodeDecodeError as bad:
        byte = f"byte {payload[bad.start]:#04x}"
        if dialect.encoding not in ("utf-8", "utf-8-sig"):
            raise RecordError("wrong_encoding", f"{byte} is not {dialect.encoding}") from None
        raise RecordError("not_utf8", f"{byte} at position {bad.start} is not UTF-8") from None
    except csv.Error as error:
        raise RecordError("not_csv", f"not CSV: {error}") from None

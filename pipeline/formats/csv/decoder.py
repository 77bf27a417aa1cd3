"""Rows of CSV files (RFC 4180), whose header names the columns."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from pipeline.batch.block import Block
from pipeline.batch.tensors import FLOATS
from pipeline.errors import RecordError
from pipeline.formats import record_sample
from pipeline.formats.csv import cells as csv_cells
from pipeline.formats.csv import header as csv_header
from pipeline.formats.csv.header import Header
from pipeline.formats.csv.rows import is_proper
from pipeline.formats.decoder import Decoder, Part, payload_hash
from pipeline.formats.fields import IrregularError
from pipeline.spec.record import FieldSpec, RecordSpec

csv.field_size_limit(sys.maxsize)  # the list of a large tensor is longer than Python expects


@dataclass(frozen=True)
class _Layout:
    """What is where in the rows of one header.

    Attributes:
      header: the names of the columns.
      places: key -> its cells, of each key that is read and that the header has.
      floats: cells that Arrow may parse itself; all others are taken as text.
      problem: why no row can be read; None if they can.
      regular: whether each field has the cells that its shape asks for.
    """

    header: tuple[str, ...]
    places: dict[str, tuple[int, ...]]
    floats: frozenset[int]
    problem: RecordError | None
    regular: bool


class CsvDecoder(Decoder):
    """Decodes blocks of CSV rows; see :mod:`pipeline.formats.csv.cells` for what a cell means."""

    def __init__(self, record: RecordSpec, pass_through: Sequence[str] = ()) -> None:
        super().__init__(record, pass_through)
        self._record = record
        self._repeated = dict.fromkeys([*([record.id] if record.id else []), *pass_through])
        self._layouts: dict[Header, _Layout] = {}

    def part(self, block: Block, rows: range) -> Part:
        """See Decoder."""
        layout = self._layout(block.header)
        if layout.problem or not layout.regular:
            raise IrregularError
        cells = _parse([block.payloads[row] for row in rows], layout)
        part = Part(rows)
        for name, field in self._fields.items():
            part.columns[name] = csv_cells.column([cells[p] for p in layout.places[name]], field)
        values = {
            name: self._values(name, [cells[place] for place in layout.places[name]])
            for name in self._repeated
            if name in layout.places
        }
        if self._id is None:
            part.ids = [payload_hash(block.payloads[row]) for row in rows]
        else:
            part.ids = values[self._id]
            if set(map(type, part.ids)) - {str, int}:
                raise IrregularError
        part.extras = list(
            self.extras({name: values[name][i] for name in values} for i in range(len(rows)))
        )
        return part

    def record(self, block: Block, row: int) -> dict[str, Any]:
        """See Decoder."""
        layout = self._layout(block.header)
        if layout.problem:
            raise layout.problem
        cells = self._row(block, row)
        record: dict[str, Any] = dict(zip(block.header, cells, strict=True))
        for name, places in layout.places.items():
            record[name] = csv_cells.value([cells[place] for place in places], self._spec(name))
        return record

    def undeclared(self, block: Block, row: int) -> dict[str, Any]:
        """See Decoder; cells as they would be in JSON."""
        cells = dict(zip(block.header, self._row(block, row), strict=True))
        return record_sample.from_cells(cells)

    def _row(self, block: Block, row: int) -> list[str]:
        """The cells of a row, one for each name in the header.

        Raises:
          RecordError: there are others.
        """
        header, cells = block.header, _cells(block.payloads[row], len(block.header))
        if len(cells) != len(header):
            names = ", ".join(header[:8]) + (", ..." if len(header) > 8 else "")
            raise RecordError(
                "wrong_cells",
                f"found {len(cells)} cells, expected {len(header)} as in the header ({names})",
            )
        return cells

    def where(self, block: Block, row: int) -> str:
        """See Decoder."""
        inside = sum(block.payloads[i].count(b"\n") for i in range(row))
        return f"{block.source}, line {block.first + row + inside}: "

    def _layout(self, header: Header) -> _Layout:
        if header not in self._layouts:
            self._layouts[header] = self._new_layout(header)
        return self._layouts[header]

    def _new_layout(self, header: Header) -> _Layout:
        keys = {key: self._spec(key) for key in (*self._fields, *self._repeated)}
        places = {key: csv_header.places(key, keys, header) for key in keys}
        places = {key: of_key for key, of_key in places.items() if of_key}
        texts = {place for key in self._repeated for place in places.get(key, ())}
        floats: set[int] = set()
        regular = True
        for name, field in self._fields.items():
            of_field = places.get(name, ())
            regular &= len(of_field) <= 1 or len(of_field) == field.spec.shape[0]
            if field.spec.dtype in FLOATS and csv_cells.one_each(field.spec, of_field):
                floats.update(of_field)
        problem = None
        if lacks := csv_header.lacking(self._record, header):
            problem = RecordError("no_header", csv_header.not_a_header(header, lacks))
        elif twice := next(csv_header.doubled(keys, header), None):
            problem = RecordError("doubled_column", twice)
        return _Layout(header, places, frozenset(floats - texts), problem, regular)

    def _values(self, name: str, cells: Sequence[pa.Array]) -> list[Any]:
        rows = zip(*(of_place.to_pylist() for of_place in cells), strict=True)
        return [csv_cells.value(row, self._spec(name)) for row in rows]

    def _spec(self, name: str) -> FieldSpec | None:
        field = self._fields.get(name)
        return field.spec if field else None


def _parse(payloads: Sequence[bytes], layout: _Layout) -> dict[int, pa.Array]:
    """The cells of each place that is read: text, or float64.

    Raises:
      IrregularError: a row has too few or too many cells or bad quotes, or a float is none.
    """
    text = b"\n".join(payloads)
    # Arrow is more lenient than the careful way of reading.
    if not (text.isascii() or _is_utf8(text)) or not all(map(is_proper, payloads)):
        raise IrregularError
    types = {
        str(place): pa.float64() if place in layout.floats else pa.string()
        for places in layout.places.values()
        for place in places
    }
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(text),
            arrow_csv.ReadOptions(
                # Not the header's own names: those need not differ.
                column_names=[str(place) for place in range(len(layout.header))],
                use_threads=False,
                block_size=len(text) + 1,
            ),
            arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            arrow_csv.ConvertOptions(column_types=types, include_columns=list(types)),
        )
    except pa.ArrowInvalid:
        raise IrregularError from None
    if table.num_rows != len(payloads):
        raise IrregularError
    return {int(name): table.column(name).combine_chunks() for name in types}


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _cells(payload: bytes, columns: int) -> list[str]:
    """The cells of one row, as text.

    Raises:
      RecordError: it is empty, not UTF-8, or its quotes are not those of CSV.
    """
    if not payload and columns > 1:
        raise RecordError("empty", f"the line is empty, expected {columns} cells")
    try:
        found = list(csv.reader([payload.decode()], strict=True))
    except UnicodeDecodeError as bad:
        raise RecordError(
            "not_utf8", f"byte {payload[bad.start]:#04x} at position {bad.start} is not UTF-8"
        ) from None
    except csv.Error as error:
        raise RecordError("not_csv", f"not CSV: {error}") from None
    return found[0] or [""]

"""JSON objects, one a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from pipeline.batch.batch import RecordId
from pipeline.batch.block import Block
from pipeline.batch.payloads import Lines
from pipeline.errors import RecordError
from pipeline.formats.decoder import Part, RowDecoder, record_id_in
from pipeline.formats.fields import IrregularError
from pipeline.formats.ids import regular_ids
from pipeline.formats.json.exact import doubled_key, with_exact_numbers
from pipeline.formats.json.number_lists import NumberListReader
from pipeline.formats.json.objects import parse_object
from pipeline.formats.json.tables import TableReader
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import RecordKey, outer_keys

# Below these, orjson is as fast.
_LONG = 16
_MANY = 16
FEWEST_ROWS = 64


class JsonDecoder(RowDecoder):
    """Decodes blocks of JSON objects, UTF-8.

    Where a stretch of a block allows it, long lists of numbers are read without a Python number for
    each, and single values into columns; orjson reads all else.
    """

    def __init__(self, record: RecordSpec, pass_through: Sequence[RecordKey] = ()) -> None:
        super().__init__(record, pass_through)
        lists = {
            name: kind
            for name, decoder in self._fields.items()
            if isinstance(name, str) and (kind := decoder.buffer_type)
        }
        repeated: list[RecordKey] = [
            *self._pass_through,
            *([] if record.id is None else [record.id]),
        ]
        self._repeated = tuple(outer for key in repeated for outer in outer_keys(key))
        self._keys = set(record.outer_keys(pass_through))
        self._lists = NumberListReader(lists, self._keys - lists.keys())
        lengths = [self._fields[name].spec.shape[0] or _LONG for name in lists]
        self._has_long_lists = max(lengths, default=0) >= _LONG
        if lists.keys() & set(self._pass_through):  # these are repeated as they came
            self._has_long_lists = False
        if not {*record.by_key, *repeated} <= self._keys:  # some are inside of objects, or spread
            self._has_long_lists = False
        self._tables = TableReader.of(self._fields, record.id, self._pass_through)

    def plain(self, block: Block) -> Part | None:
        """See Decoder."""
        if self._tables is None or len(block.payloads) < FEWEST_ROWS:
            return None
        try:
            if self.given(block):  # values from the file's path
                return None
            table = self._tables.read(Lines.of(block.payloads))
            rows = table.rows.tolist()
            if len(rows) < len(block.payloads) // 2:
                return None
            part = Part(rows)
            for name, decoder in self._fields.items():
                part.columns[name] = table.column(str(name), decoder)
            if self._id is None:
                part.ids = [self.id_of(block, row) for row in rows]
            else:
                part.ids = regular_ids(table.values(str(self._id)))
        except (IrregularError, RecordError):
            return None
        if self._pass_through:
            keys = tuple(map(str, self._pass_through))
            repeated = zip(*map(table.values, keys), strict=True)
            part.extras = list(self.extras(dict(zip(keys, row, strict=True)) for row in repeated))
        return part

    def part(self, block: Block, rows: range) -> Part:
        """See Decoder."""
        if self._has_long_lists and len(rows) >= _MANY and not self.given(block):
            try:
                return self._part_with_lists(block, rows)
            except IrregularError:  # maybe not for orjson
                pass
        return super().part(block, rows)

    def _part_with_lists(self, block: Block, rows: range) -> Part:
        payloads = _some(block, rows)
        found = self._lists.read(payloads)
        part = Part(rows)
        for name, decoder in self._fields.items():
            read = decoder.column_of_buffers if decoder.buffer_type else decoder.column
            part.columns[name] = read(found[str(name)])
        if self._id is None:
            part.ids = [self.id_of(block, row) for row in rows]
        else:
            part.ids = regular_ids(found[str(self._id)])
        keys = list(map(str, self._pass_through))
        repeated = [{key: found[key][i] for key in keys} for i in range(len(rows))]
        part.extras = list(self.extras(with_exact_numbers(payloads, repeated, keys)))
        return part

    def records(self, block: Block, rows: range) -> Sequence[dict[str, Any]]:
        """See RowDecoder."""
        payloads = _some(block, rows)
        try:
            objects = [orjson.loads(payload) for payload in payloads]
        except orjson.JSONDecodeError:
            raise IrregularError from None
        if set(map(type, objects)) != {dict}:
            raise IrregularError
        if doubled_key(payloads, objects, self._keys) is not None:
            raise IrregularError
        return with_exact_numbers(payloads, objects, self._repeated)

    def record(self, block: Block, row: int) -> dict[str, Any]:
        """See Decoder."""
        payload = block.payloads[row]
        found = parse_object(payload)
        twice = doubled_key([payload], [found], self._keys)
        if twice is not None:
            raise RecordError("doubled_key", f"the object has the key '{twice}' more than once")
        return with_exact_numbers([payload], [found], self._repeated)[0]

    def id_of_unread(self, block: Block, row: int) -> RecordId:
        """See Decoder; of an object that has another key twice."""
        assert self._id is not None
        payload = block.payloads[row]
        found = parse_object(payload)
        if doubled_key([payload], [found], set(outer_keys(self._id))) is not None:
            return None
        return record_id_in({**self.given(block), **found}, self._id)


def _some(block: Block, rows: range) -> list[bytes]:
    """The payloads of some rows."""
    payloads = block.payloads
    if isinstance(payloads, Lines):
        return list(payloads.part(rows.start, rows.stop))
    return [payloads[row] for row in rows]

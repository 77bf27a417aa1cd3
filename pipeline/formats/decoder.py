"""Records, decoded once, at the door, into a batch of columns.

A block is decoded as a whole. When something in it is irregular it is halved until the irregular
records stand alone; those are read one by one and either decoded or rejected with the reason. One
bad record therefore costs a block about twice the time, and no other record anything.

What differs from format to format is how a stretch of a block becomes columns at once, and how one
record becomes a mapping: a subclass of :class:`Decoder` for each.
"""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from pipeline.batch import columns
from pipeline.batch.arrow_values import reason
from pipeline.batch.batch import Batch, RecordId, Reject
from pipeline.batch.block import Block
from pipeline.batch.columns import Array, BatchColumn
from pipeline.batch.payloads import as_json, take
from pipeline.errors import RecordError
from pipeline.formats import partitions
from pipeline.formats.fields import FieldDecoder, IrregularError
from pipeline.formats.ids import plain_id, regular_ids
from pipeline.formats.lookup import Record, value_at
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import ColumnsKey, Key, RecordKey, written_name

T = TypeVar("T")


@dataclass
class Part:
    """Decoded records of a stretch of a block.

    Attributes:
      rows: where they stand in the block, in order.
      ids, extras: one for each; no extras where nothing is passed through.
      columns: where a field stands in a record -> column.
    """

    rows: Sequence[int] = field(default_factory=list)
    ids: Sequence[RecordId] = field(default_factory=list)
    extras: Sequence[bytes] = field(default_factory=list)
    columns: dict[Key, BatchColumn] = field(default_factory=dict)


class Decoder(abc.ABC):
    """Decodes the blocks of one format.

    Args:
      record: the declared id and fields.
      pass_through: keys whose values predictions repeat as they came.
    """

    flat_lists = False
    """Whether the format writes a tensor of several axes as one list."""
    careful_rows = 16
    """So few, of which one is irregular, are decoded one by one, and halved no more."""

    def __init__(self, record: RecordSpec, pass_through: Sequence[RecordKey] = ()) -> None:
        self._declared = record
        self._id = record.id
        self._key_of = record.key_of
        self._fields = {
            key: FieldDecoder(name, record.fields[name], flat=True)
            if isinstance(key, ColumnsKey)
            else FieldDecoder(str(key), record.fields[name], flat=self.flat_lists)
            for name, key in record.key_of.items()
        }
        self._pass_through = tuple(pass_through)
        self._given_of: tuple[str, dict[Key, Any]] = ("", {})

    @abc.abstractmethod
    def part(self, block: Block, rows: range) -> Part:
        """A stretch of the block, decoded at once.

        Raises:
          IrregularError: at least one of the records may be wrong.
        """

    @abc.abstractmethod
    def record(self, block: Block, row: int) -> Record:
        """One record as key -> value, its declared fields in the form that FieldDecoder takes.

        Raises:
          RecordError: it cannot be read.
        """

    def as_it_came(self, block: Block, row: int, record: Record) -> Record:
        """A record as predictions repeat it, of a format whose fields may read it otherwise.

        Args:
          block: where it stands.
          row: its place there.
          record: as `record` returned it, with what the path of its file says.
        """
        return record

    def plain(self, block: Block) -> Part | None:
        """The records of a block that are plainly right, of a format that can tell them apart.

        The others are decoded by `part` and `record`; all are where this returns None.
        """
        return None

    def undeclared(self, block: Block, row: int) -> dict[str, Any]:
        """One record as plain data, of all its keys; of a decoder whose fields the record lacks.

        Raises:
          RecordError: it cannot be read.
        """
        return dict(self.record(block, row))

    def id_of(self, block: Block, row: int) -> RecordId:
        """The id of a record when the ensemble file declares no id field."""
        return payload_hash(block.payloads[row])

    def id_of_unread(self, block: Block, row: int) -> RecordId:
        """The declared id of a record that `record` refuses; None where it is not certain.

        Raises:
          Exception: neither is it there.
        """
        return None

    def given(self, block: Block) -> Mapping[Key, Any]:
        """What the path of the block's file says of keys that a record may not have itself.

        A RecordError stands for a value that nobody can tell, of a record that has no own one.
        """
        if self._given_of[0] != block.source:
            found = partitions.values_in(block.source, self._declared, self._pass_through)
            spec = self._declared.by_key.get
            typed: dict[Key, Any] = {
                key: partitions.value_of(text, spec(key)) for key, text in found.items()
            }
            self._given_of = block.source, typed
        return self._given_of[1]

    def _unclear(self, block: Block) -> dict[Key, RecordError]:
        given = self.given(block).items()
        return {key: value for key, value in given if isinstance(value, RecordError)}

    def where(self, block: Block, row: int) -> str:
        """The place of a record as the beginning of a message; empty if its payload says enough."""
        return ""

    def decode(self, block: Block) -> Batch:
        """One batch for a block of records.

        Returns:
          a batch whose rows are the good records, in order, and whose rejects are the others: every
          payload is in one of the two, exactly once.
        """
        parts: list[Part] = []
        rejects: list[Reject] = []
        plain: Part | None = None
        if self._unclear(block):  # which records have their own is seen one by one
            self._one_by_one(block, range(len(block.payloads)), parts, rejects)
        elif (plain := self.plain(block)) is None:
            self._decode(block, range(len(block.payloads)), parts, rejects)
        else:
            parts.append(plain)
            left = set(range(len(block.payloads))) - set(plain.rows)
            self._one_by_one(block, sorted(left), parts, rejects)
        rows = _joined([part.rows for part in parts])
        whole = len(rows) == len(block.payloads)
        out_of_order = plain is not None and len(parts) > 1
        batch = Batch(
            ids=tuple(_joined([part.ids for part in parts])),
            payloads=block.payloads if whole and not out_of_order else take(block.payloads, rows),
            columns={
                name: columns.concatenate([part.columns[key] for part in parts])
                if parts
                else self._fields[key].empty()
                for name, key in self._key_of.items()
            },
            pass_through=tuple(_joined([part.extras for part in parts]))
            if self._pass_through
            else None,
            rejects=tuple(rejects),
            origins=None if block.origins is None else tuple(block.origins[row] for row in rows),
        )
        return batch.take(np.argsort(rows)) if out_of_order else batch

    def _decode(self, block: Block, rows: range, parts: list[Part], rejects: list[Reject]) -> None:
        if not rows:
            return
        try:
            parts.append(self.part(block, rows))
        except Exception:  # IrregularError, or whatever bytes from outside lead a library to
            if len(rows) > self.careful_rows:
                middle = len(rows) // 2
                self._decode(block, rows[:middle], parts, rejects)
                self._decode(block, rows[middle:], parts, rejects)
            else:
                self._one_by_one(block, rows, parts, rejects)

    def _one_by_one(
        self, block: Block, rows: Sequence[int], parts: list[Part], rejects: list[Reject]
    ) -> None:
        good: list[int] = []
        ids: list[RecordId] = []
        extras: list[bytes] = []
        values: dict[Key, list[Array | None]] = {key: [] for key in self._fields}
        unclear = self._unclear(block)
        for row in rows:
            record_id: RecordId = None
            try:
                record = {**self.given(block), **self.record(block, row)}
                for key, error in unclear.items():
                    if record[key] is error:
                        raise error
                told = self.as_it_came(block, row, record)
                record_id = (
                    self.id_of(block, row) if self._id is None else record_id_in(told, self._id)
                )
                arrays = {
                    key: decoder.row(value_at(record, key, optional=decoder.keeps_missing))
                    for key, decoder in self._fields.items()
                }
                extra = list(self.extras([told]))
            except Exception as error:  # RecordError, or whatever its bytes lead a library to
                if not isinstance(error, RecordError):
                    error = RecordError("unreadable_value", reason(error))
                if record_id is None:
                    record_id = self._certain_id(block, row)
                rejects.append(self._reject(block, row, record_id, error))
                continue
            good.append(row)
            ids.append(record_id)
            extras += extra
            for name, array in arrays.items():
                values[name].append(array)
        if good:
            made = {name: self._fields[name].column_of_rows(rows) for name, rows in values.items()}
            parts.append(Part(good, ids, extras, made))

    def _certain_id(self, block: Block, row: int) -> RecordId:
        """The id of a record that cannot be decoded; None where nobody can be certain of it."""
        try:
            return self.id_of(block, row) if self._id is None else self.id_of_unread(block, row)
        except Exception:  # as above
            return None

    def _reject(self, block: Block, row: int, record_id: RecordId, error: RecordError) -> Reject:
        return Reject(
            payload=block.payloads[row],
            record_id=record_id,
            stage="decode",
            error_type=error.kind,
            error_message=f"{self.where(block, row)}{error}",
            origin=None if block.origins is None else block.origins[row],
        )

    def extras(self, records: Iterable[Record]) -> Iterator[bytes]:
        """What predictions repeat of each record, as a JSON object; nothing if they repeat none.

        Raises:
          RecordError: something on the path to a value is no object.
        """
        if not self._pass_through:
            return
        if all(isinstance(key, str) for key in self._pass_through):
            yield from (as_json({k: r.get(k) for k in self._pass_through}) for r in records)
            return
        names = [(written_name(key), key) for key in self._pass_through]
        for record in records:
            yield as_json({n: value_at(record, key, optional=True) for n, key in names})


class RowDecoder(Decoder):
    """Decodes formats whose records are mappings from the start."""

    @abc.abstractmethod
    def records(self, block: Block, rows: range) -> Sequence[Record]:
        """Some records as key -> value.

        Raises:
          IrregularError: at least one of them may be wrong.
        """

    def part(self, block: Block, rows: range) -> Part:
        """See Decoder."""
        records = self.records(block, rows)
        if given := self.given(block):
            records = [{**given, **record} for record in records]
        part = Part(rows)
        try:
            for name, decoder in self._fields.items():
                part.columns[name] = decoder.column(_values(records, name, decoder.keeps_missing))
            if self._id is not None:
                part.ids = regular_ids(_values(records, self._id))
        except KeyError:
            raise IrregularError from None
        if self._id is None:
            part.ids = [self.id_of(block, row) for row in rows]
        part.extras = list(self.extras(records))
        return part


def payload_hash(payload: bytes) -> str:
    """The id of a record that declares none: the same for the same bytes, in every run."""
    return hashlib.blake2b(payload, digest_size=16).hexdigest()


def _joined(parts: Sequence[Sequence[T]]) -> Sequence[T]:
    """The parts, one after the other; one alone, as nearly always, as it is."""
    return parts[0] if len(parts) == 1 else list(chain.from_iterable(parts))


def _values(records: Sequence[Record], key: Key, optional: bool = False) -> list[Any]:
    """The value of each record.

    Raises:
      KeyError, RecordError: one lacks it.
    """
    if not isinstance(key, str):
        return [value_at(record, key, optional=optional) for record in records]
    if optional:
        return [record.get(key) for record in records]
    return [record[key] for record in records]


def record_id_in(record: Record, key: RecordKey) -> RecordId:
    """The id of a record.

    Raises:
      RecordError: it lacks it, or has something else there.
    """
    try:
        return plain_id(value_at(record, key))
    except ValueError as error:
        raise RecordError("wrong_type", f"id field '{key}': {error}") from None

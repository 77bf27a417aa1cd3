"""JSON records, decoded once, at the door, into a batch of columns.

A block is decoded as a whole. When something in it is irregular it is halved until the irregular
records stand alone; those are read one by one and either decoded or rejected with the reason. One
bad record therefore costs a block about twice the time, and no other record anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import orjson

from pipeline.core import columns
from pipeline.core.batch import Batch, RecordId, Reject
from pipeline.core.block import Origin
from pipeline.core.columns import Column
from pipeline.core.fields import FieldDecoder, IrregularError
from pipeline.core.record_spec import RecordSpec
from pipeline.errors import RecordError

_CAREFUL_ROWS = 16


@dataclass
class _Part:
    """Decoded rows of a stretch of the block, in order."""

    ids: list[RecordId] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    columns: dict[str, Column] = field(default_factory=dict)
    extras: list[bytes] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)


class JsonDecoder:
    """Decodes JSON objects with the declared fields.

    Args:
      record: the declared id and fields.
      pass_through: keys whose values predictions repeat as they came.
    """

    def __init__(self, record: RecordSpec, pass_through: Sequence[str] = ()) -> None:
        self._id = record.id
        self._fields = {name: FieldDecoder(name, spec) for name, spec in record.fields.items()}
        self._pass_through = tuple(pass_through)

    def decode(self, payloads: Sequence[bytes], origins: Sequence[Origin] | None = None) -> Batch:
        """One batch for a block of records.

        Args:
          payloads: one JSON object each, UTF-8.
          origins: one for each payload, where the source has them.

        Returns:
          a batch whose rows are the good records, in order, and whose rejects are the others: every
          payload is in one of the two, exactly once.
        """
        parts: list[_Part] = []
        rejects: list[Reject] = []
        self._decode(payloads, origins, parts, rejects)
        return Batch(
            ids=tuple(i for part in parts for i in part.ids),
            payloads=tuple(p for part in parts for p in part.payloads),
            columns={
                name: columns.concatenate([part.columns[name] for part in parts])
                if parts
                else decoder.empty()
                for name, decoder in self._fields.items()
            },
            pass_through=tuple(e for part in parts for e in part.extras)
            if self._pass_through
            else None,
            rejects=tuple(rejects),
            origins=None if origins is None else tuple(o for part in parts for o in part.origins),
        )

    def _decode(
        self,
        payloads: Sequence[bytes],
        origins: Sequence[Origin] | None,
        parts: list[_Part],
        rejects: list[Reject],
    ) -> None:
        if not payloads:
            return
        try:
            part = self._all_at_once(payloads)
            part.origins = list(origins or ())
            parts.append(part)
        except IrregularError:
            if len(payloads) > _CAREFUL_ROWS:
                middle = len(payloads) // 2
                for half in (slice(None, middle), slice(middle, None)):
                    of_half = None if origins is None else origins[half]
                    self._decode(payloads[half], of_half, parts, rejects)
            else:
                self._one_by_one(payloads, origins, parts, rejects)

    def _all_at_once(self, payloads: Sequence[bytes]) -> _Part:
        try:
            objects = [orjson.loads(payload) for payload in payloads]
        except orjson.JSONDecodeError:
            raise IrregularError from None
        if set(map(type, objects)) != {dict}:
            raise IrregularError
        part = _Part(payloads=list(payloads))
        try:
            for name, decoder in self._fields.items():
                part.columns[name] = decoder.column([record[name] for record in objects])
            if self._id is not None:
                part.ids = [record[self._id] for record in objects]
        except KeyError:
            raise IrregularError from None
        if self._id is None:
            part.ids = [payload_hash(payload) for payload in payloads]
        elif set(map(type, part.ids)) - {str, int}:
            raise IrregularError
        if self._pass_through:
            part.extras = [self._extras(record) for record in objects]
        return part

    def _one_by_one(
        self,
        payloads: Sequence[bytes],
        origins: Sequence[Origin] | None,
        parts: list[_Part],
        rejects: list[Reject],
    ) -> None:
        part = _Part()
        rows: dict[str, list[Any]] = {name: [] for name in self._fields}
        for payload, origin in zip(payloads, origins or repeat(None), strict=False):
            record_id: RecordId = None
            try:
                record = parse_object(payload)
                record_id = self._record_id(record, payload)
                values = {
                    name: decoder.row(_get(record, name)) for name, decoder in self._fields.items()
                }
            except RecordError as error:
                rejects.append(
                    Reject(
                        payload=payload,
                        record_id=record_id,
                        stage="decode",
                        error_type=error.kind,
                        error_message=str(error),
                        origin=origin,
                    )
                )
                continue
            part.ids.append(record_id)
            part.payloads.append(payload)
            if origin is not None:
                part.origins.append(origin)
            if self._pass_through:
                part.extras.append(self._extras(record))
            for name, value in values.items():
                rows[name].append(value)
        if part.ids:
            part.columns = {name: columns.from_rows(values) for name, values in rows.items()}
            parts.append(part)

    def _record_id(self, record: dict[str, Any], payload: bytes) -> RecordId:
        if self._id is None:
            return payload_hash(payload)
        value = _get(record, self._id)
        if type(value) not in (str, int):
            raise RecordError(
                "wrong_type",
                f"id field '{self._id}': found {type(value).__name__}, expected text or integer",
            )
        return value  # type: ignore[no-any-return]  # str or int, just checked

    def _extras(self, record: dict[str, Any]) -> bytes:
        return orjson.dumps({key: record.get(key) for key in self._pass_through})


def payload_hash(payload: bytes) -> str:
    """The id of a record that declares none: the same for the same bytes, in every run."""
    return hashlib.blake2b(payload, digest_size=16).hexdigest()


def parse_object(payload: bytes) -> dict[str, Any]:
    """The JSON object in `payload`.

    Raises:
      RecordError: it is empty, not UTF-8, not JSON or not an object.
    """
    if not payload.strip():
        raise RecordError("empty", "the record is empty, expected a JSON object")
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        try:
            payload.decode()
        except UnicodeDecodeError as bad:
            raise RecordError(
                "not_utf8", f"byte {payload[bad.start]:#04x} at position {bad.start} is not UTF-8"
            ) from error
        raise RecordError("not_json", f"not JSON: {error}") from error
    if not isinstance(value, dict):
        found = {list: "a list", str: "text", bool: "a boolean", type(None): "null"}
        raise RecordError(
            "not_an_object", f"found {found.get(type(value), 'a number')}, expected a JSON object"
        )
    return value


def _get(record: dict[str, Any], key: str) -> Any:
    try:
        return record[key]
    except KeyError:
        has = ", ".join(list(record)[:8]) or "none"
        raise RecordError(
            "missing_field", f"field '{key}' is missing; the record has {has}"
        ) from None

"""JSON objects, one a record."""

from __future__ import annotations

from typing import Any

import orjson

from pipeline.core.block import Block
from pipeline.core.decode import RowDecoder
from pipeline.core.fields import IrregularError
from pipeline.errors import RecordError


class JsonDecoder(RowDecoder):
    """Decodes blocks of JSON objects, UTF-8."""

    def records(self, block: Block, rows: range) -> list[dict[str, Any]]:
        """See RowDecoder."""
        payloads = block.payloads
        try:
            objects = [orjson.loads(payloads[row]) for row in rows]
        except orjson.JSONDecodeError:
            raise IrregularError from None
        if set(map(type, objects)) != {dict}:
            raise IrregularError
        return objects

    def record(self, block: Block, row: int) -> dict[str, Any]:
        """See Decoder."""
        return parse_object(block.payloads[row])


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

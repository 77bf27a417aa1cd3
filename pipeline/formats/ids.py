"""What can be the id of a record: text and integers, and what is an id by its nature, as text."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from pipeline.batch.batch import RecordId
from pipeline.batch.exact_number import ExactNumber
from pipeline.formats.fields import IrregularError
from pipeline.formats.lookup import kind_of

EXPECTED = "text, integers, decimals or UUIDs"

_LARGEST = 2**64
_SMALLEST = -(2**63)


def plain_id(value: Any) -> RecordId:
    """An id as text or as an integer of 64 bits; larger ones, decimals and UUIDs as text.

    Raises:
      ValueError: a value of this type, or bytes that are not UTF-8, are none.
    """
    if type(value) is str:
        return value
    if type(value) is int:
        return value if _SMALLEST <= value < _LARGEST else str(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal) and value.is_finite() and not isinstance(value, ExactNumber):
        return f"{value:f}"
    if isinstance(value, bytes):
        return value.decode()
    raise ValueError(f"found {kind_of(value)}, expected text or an integer")


def regular_ids(values: list[Any]) -> list[RecordId]:
    """The values as ids.

    Raises:
      IrregularError: one cannot be an id.
    """
    kinds = set(map(type, values))
    if kinds == {str} or (kinds == {int} and _SMALLEST <= min(values) <= max(values) < _LARGEST):
        return values
    try:
        return [plain_id(value) for value in values]
    except ValueError:
        raise IrregularError from None

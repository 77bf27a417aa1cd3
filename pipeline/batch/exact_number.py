"""Numbers that predictions repeat as they came, also where a float has too few digits for them."""

from __future__ import annotations

import json
import math
from decimal import Decimal, InvalidOperation
from typing import Any


class ExactNumber(Decimal):
    """A finite number that no float is; a number in JSON, where another Decimal is text."""


def exact_number(text: str) -> float | ExactNumber:
    """A number with a fraction or an exponent, as JSON spells it: a float, if that is no other one.

    NaN and infinity, which JSON lacks, are floats, too.

    Raises:
      ValueError: the text is no number.
    """
    value = float(text)
    if (spelled := repr(value)) == text or math.isnan(value):
        return value
    try:
        exact = ExactNumber(text)
        return value if Decimal(spelled) == exact else exact
    except InvalidOperation:  # its exponent has more digits than anybody needs
        return value


def exact_json(text: bytes | str) -> Any:
    """The value of a JSON text, each number in it as it is written.

    Raises:
      ValueError: the text is not JSON.
    """
    return json.loads(text, parse_float=exact_number)

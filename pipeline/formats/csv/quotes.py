"""Where the quotes of a CSV text stand, for all of its rows at once.

Quotes come in pairs, and no pair has a quote inside. The first of a pair opens a cell, behind a
delimiter or at the start of a row; the second one closes it, before a delimiter or a line end. Or
the one of a pair follows at once on the other of the pair before: both together are a quote inside
of a cell, which goes on. A text in which that holds of every quote is as RFC 4180 has it.
"""

from __future__ import annotations

import numpy as np

from pipeline.batch.columns import Array

_LINE_END = ord("\n")


def quoted_places(text: bytes, places: Array, delimiter: str, quote: str) -> Array | None:
    r"""Whether places in a text are inside of quotes.

    Args:
      text: whole rows, but for the last one, which may end inside of quotes.
      places: positions in `text`, ascending.
      delimiter: one ASCII character between cells.
      quote: one ASCII character around cells.

    Returns:
      bool[places], or None where a quote, or a ``\r`` without ``\n``, is out of place: then nobody
      can tell.
    """
    if text.count(b"\r") != text.count(b"\r\n"):
        return None
    signs = np.frombuffer(text, np.uint8)
    quotes = np.flatnonzero(signs == ord(quote))
    opens, closes = quotes[::2], quotes[1::2]
    goes_on = opens[1:] == closes[: len(opens) - 1] + 1
    ends = (ord(delimiter), _LINE_END)
    before = signs[opens - 1]
    starts_cell = (before == ends[0]) | (before == ends[1]) | (opens == 0)
    starts_cell[1:] |= goes_on
    behind = signs[np.minimum(closes + 1, len(signs) - 1)]
    ends_cell = (behind == ends[0]) | (behind == ends[1]) | (behind == ord("\r"))
    ends_cell |= closes == len(signs) - 1
    ends_cell[: len(goes_on)] |= goes_on
    if not starts_cell.all() or not ends_cell.all():
        return None
    inside: Array = np.searchsorted(quotes, places) % 2 == 1
    return inside

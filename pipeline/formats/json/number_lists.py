"""Lists of numbers, read from JSON objects without making a Python number of each.

Langdale, Lemire: Parsing Gigabytes of JSON per Second, VLDB Journal 28, 2019.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import simdjson

from pipeline.formats.fields import BufferType, IrregularError

_SCALARS = {str, int, float, bool, type(None)}


class NumberListReader:
    """Reads JSON objects that hold lists of numbers beside scalars.

    What simdjson and orjson read differently, or what it would not notice, is irregular here: a
    byte order mark, a key that comes twice, an integer beyond 64 bits, lists in lists.

    Args:
      lists: keys of lists of numbers, and what each is taken as.
      scalars: keys of text, single numbers, booleans and nulls.
    """

    def __init__(self, lists: Mapping[str, BufferType], scalars: Collection[str]) -> None:
        self._lists = dict(lists)
        self._scalars = tuple(scalars)

    def read(self, payloads: Iterable[bytes]) -> dict[str, list[Any]]:
        """For each key one value a payload; that of a list is a buffer of its numbers.

        Raises:
          IrregularError: some payload is no such object; what is wrong with it, if anything, is not
            known.
        """
        found: dict[str, list[Any]] = {key: [] for key in (*self._lists, *self._scalars)}
        lists = [(key, kind, found[key].append) for key, kind in self._lists.items()]
        scalars = [(key, found[key].append) for key in self._scalars]
        parse = simdjson.Parser().parse
        try:
            for payload in payloads:
                # Nested lists would come flattened. As many brackets as lists: there are none.
                if payload[0] != ord("{") or payload.count(b"[") != len(lists):
                    raise IrregularError
                record: Any = parse(payload)
                for key, kind, append in lists:
                    append(record[key].as_buffer(of_type=kind))
                for key, append in scalars:
                    append(record[key])
                if len(record) != len(found) and len(set(record)) != len(record):
                    raise IrregularError
                del record  # the parser's memory is used again, once nobody holds its last object
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
            raise IrregularError from None
        if not all(_SCALARS.issuperset(map(type, found[key])) for key in self._scalars):
            raise IrregularError
        return found

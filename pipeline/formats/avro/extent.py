"""Where a value of an Avro schema ends, and about how much memory it takes: nothing is decoded.

The library that decodes records stops at the first value that it cannot make, and then nobody knows
where the next record begins. It also ends the process where values are inside of values without
end, and makes as many nulls as a number says. Here none of that happens.

Source: https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
"""

from __future__ import annotations

from typing import Any

_SIZES = {"null": 0, "boolean": 1, "float": 4, "double": 8}
_VARINTS = ("int", "long", "enum")
_TEXTS = ("bytes", "string")
_RECORDS = ("record", "error")
_DEEPEST = 64

# What Python takes: for an item of a list, and for a list or mapping. About.
_ITEM_BYTES = 40
_HOLDER_BYTES = 250


class Extents:
    """Finds the ends of the records of a schema.

    Args:
      schema: parsed: names are whole, definitions stand where they are first used.
      most: bytes of memory behind which no end is looked for.

    Attributes:
      is_plain: whether a record takes bytes for all it holds and no type holds itself, so that no
        record of few bytes takes much memory or many calls inside of each other.
      swells: whether items of lists may be lists or mappings, which take the most memory a byte.
    """

    def __init__(self, schema: Any, most: int) -> None:
        self._schema = schema
        self._most = most
        self._named: dict[str, Any] = {}
        self._known: dict[str, int] = {}  # the fewest bytes of each named type
        self._cost = 0
        self.is_plain = True
        self.swells = False
        self._least(schema, ())

    def end(self, data: bytes, begin: int) -> tuple[int, int]:
        """The end of the record that begins at a byte, and about how many bytes it takes decoded.

        Raises:
          ValueError: the data cannot be such a record.
        """
        self._cost = 0
        try:
            end = self._end(self._schema, data, begin, 0)
        except (IndexError, KeyError) as error:
            raise ValueError("it is no value of the schema") from error
        if end > len(data):
            raise ValueError("a record ends behind its block")
        return end, self._cost + end - begin

    def _end(self, kind: Any, data: bytes, at: int, depth: int) -> int:
        if depth > _DEEPEST:
            raise ValueError(f"values inside of values, more than {_DEEPEST} deep")
        if isinstance(kind, list):
            branch, at = number(data, at)
            if branch < 0:
                raise ValueError("it is no value of the schema")
            return self._end(kind[branch], data, at, depth + 1)
        name = kind["type"] if isinstance(kind, dict) else kind
        if not isinstance(name, str):
            return self._end(name, data, at, depth + 1)
        if name in _SIZES:
            return at + _SIZES[name]
        if name in _VARINTS:
            return number(data, at)[1]
        if name in _TEXTS:
            length, at = number(data, at)
            if not 0 <= length <= len(data) - at:
                raise ValueError("a text ends behind its block")
            return at + length
        if name == "fixed":
            return at + int(kind["size"])
        self._cost += _HOLDER_BYTES
        if self._cost > self._most:
            raise ValueError(f"a record would take more than {self._most:,} bytes of memory")
        if name in _RECORDS:
            for field in kind["fields"]:
                at = self._end(field["type"], data, at, depth + 1)
            return at
        if name == "array":
            return self._items(kind["items"], data, at, depth + 1, keys=False)
        if name == "map":
            return self._items(kind["values"], data, at, depth + 1, keys=True)
        return self._end(self._named[name], data, at, depth + 1)

    def _items(self, kind: Any, data: bytes, at: int, depth: int, *, keys: bool) -> int:
        while True:
            count, at = number(data, at)
            if count == 0:
                return at
            if count < 0:
                count, (_, at) = -count, number(data, at)
            self._cost += count * _ITEM_BYTES
            for _ in range(count):
                begin = at
                if keys:
                    at = self._end("string", data, at, depth)
                at = self._end(kind, data, at, depth)
                if at == begin:  # and so it is for all of them
                    break
                if at > len(data):
                    raise ValueError("a list ends behind its block")

    def _least(self, kind: Any, inside: tuple[str, ...]) -> int:
        """The fewest bytes of a value; notes on the way what may be made of none."""
        if isinstance(kind, list):
            for branch in kind:
                self._least(branch, inside)
            return 1
        name = kind["type"] if isinstance(kind, dict) else kind
        if not isinstance(name, str):
            return self._least(name, inside)
        own = kind.get("name") if isinstance(kind, dict) else None
        if own:
            self._named[own] = kind
            inside = (*inside, own)
        if name in _SIZES:
            return _SIZES[name]
        if name == "fixed":
            least = int(kind["size"])
        elif name in _RECORDS:
            least = sum(self._least(field["type"], inside) for field in kind["fields"])
            self.is_plain &= least > 0
        elif name in ("array", "map"):
            items = kind["items" if name == "array" else "values"]
            self.is_plain &= self._least(items, inside) > 0 or name == "map"
            self.swells |= self._is_holder(items)
            return 1
        elif name in inside:
            self.is_plain = False
            return 1
        else:
            return self._known.get(name, 1)
        if own:
            self._known[own] = least
        return least

    def _is_holder(self, kind: Any) -> bool:
        """Whether values may be lists or mappings."""
        if isinstance(kind, list):
            return any(map(self._is_holder, kind))
        name = kind["type"] if isinstance(kind, dict) else kind
        if not isinstance(name, str):
            return self._is_holder(name)
        if isinstance(kind, str) and name in self._named:
            return self._is_holder(self._named[name])
        return name in (*_RECORDS, "array", "map")


def number(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place (zigzag varint), and the place behind it.

    Raises:
      ValueError: it has more than 64 bits.
      IndexError: the data end before it does.
    """
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
        if shift > 63:
            raise ValueError("found no number")

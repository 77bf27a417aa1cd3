"""How the text of a CSV file is written: signs, names, encoding."""

from __future__ import annotations

import codecs
import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from pipeline.formats import lines
from pipeline.formats.extension import extension_of
from pipeline.spec.record import CsvSpec

csv.field_size_limit(sys.maxsize)  # the list of a large tensor is longer than Python expects


@dataclass(frozen=True)
class Dialect:
    """What tells one way of writing CSV from another.

    Attributes:
      delimiter: one ASCII character between cells.
      quote: one ASCII character around cells; None if nothing is.
      decimal: "." or ",", before the fraction of a number.
      encoding: of the text as it is stored.
      names: of the columns, where no line of a file has them; empty if line 1 does.
      missing: cells that are no value.
    """

    delimiter: str = ","
    quote: str | None = '"'
    decimal: str = "."
    encoding: str = "utf-8"
    names: tuple[str, ...] = ()
    missing: frozenset[str] = frozenset()

    def cells(self, row: bytes) -> list[str]:
        """The cells of one row, in UTF-8; none of an empty one.

        Raises:
          UnicodeDecodeError: it is not UTF-8.
          csv.Error: its quotes are not where they may be.
        """
        reader = csv.reader(
            [row.decode()],
            delimiter=self.delimiter,
            quotechar=self.quote or '"',
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            strict=True,
        )
        try:
            return next(reader, [])
        except csv.Error as error:
            raise csv.Error(_in_words(error, row)) from None

    @property
    def shown_delimiter(self) -> str:
        """The delimiter, in words."""
        return {",": "commas", "\t": "tabs"}.get(self.delimiter, f"`{self.delimiter}`")


def _in_words(error: csv.Error, row: bytes) -> str:
    """What is wrong with the quotes of a row, and not what the csv module supposes."""
    said = str(error)
    if "new-line" in said:
        return (
            "a carriage return stands outside of quotes; where lines end so, `tr '\\r' '\\n'` "
            "writes line feeds"
        )
    if "end of data" in said:
        return "the last quote is not closed"
    if "expected after" not in said:
        return said
    remedy = "; quotes inside of a cell are doubled"
    if b'\\"' in row:
        remedy += ", and here they have a backslash: Spark doubles them with `escape='\"'`"
    return f"text stands behind a closing quote{remedy}"


RFC_4180 = Dialect()


@lru_cache(64)
def dialect_of(spec: CsvSpec | None, path: str) -> Dialect:
    """The dialect of a file.

    Args:
      spec: what the ensemble file says of CSV; None for nothing.
      path: path or URI, whose extension says the delimiter if `spec` does not.
    """
    spec = spec or CsvSpec()
    return Dialect(
        spec.delimiter or ("\t" if extension_of(path) == ".tsv" else ","),
        spec.quote,
        spec.decimal,
        spec.encoding,
        spec.header if isinstance(spec.header, tuple) else (),
        frozenset(spec.missing),
    )


def as_utf8(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """A text in UTF-8, without a byte order mark. What cannot be decoded becomes no valid UTF-8.

    Args:
      chunks: the whole text.
      encoding: that it has.

    Raises:
      DamagedFileError: it begins as a text of another encoding; or from `chunks`.
    """
    if encoding in ("utf-8", "utf-8-sig"):
        return lines.without_bom(chunks)
    return _from_utf16(chunks) if encoding == "utf-16" else _from_bytes(chunks, encoding)


def _from_bytes(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    head, rest = _head(chunks, 3)
    if head.startswith(codecs.BOM_UTF8):
        raise lines.DamagedFileError(f"found the byte order mark of UTF-8, expected {encoding}", 0)
    for chunk in chain([head], rest):
        # A byte without a character stays: no byte alone is UTF-8, unless it is ASCII.
        yield chunk.decode(encoding, "surrogateescape").encode("utf-8", "surrogateescape")


def _from_utf16(chunks: Iterable[bytes]) -> Iterator[bytes]:
    head, rest = _head(chunks, 2)
    if not head:
        return
    orders = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
    if head[:2] not in orders:
        raise lines.DamagedFileError("found no byte order mark, expected that of UTF-16", 0)
    decoder = codecs.getincrementaldecoder(orders[head[:2]])("surrogatepass")
    for chunk in chain([head[2:]], rest):
        yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
    if decoder.getstate()[0]:
        yield b"\xff"  # half a character


def _head(chunks: Iterable[bytes], count: int) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, `count` or more if there are as many, and what follows."""
    head, rest = b"", iter(chunks)
    for chunk in rest:
        head += chunk
        if len(head) >= count:
            break
    return head, rest

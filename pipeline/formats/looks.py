"""What a file is, by its first bytes, whatever its name says: compressed, or of another kind.

Sources: https://www.rfc-editor.org/rfc/rfc1952 (gzip), https://www.rfc-editor.org/rfc/rfc8878
(zstd), https://tukaani.org/xz/xz-file-format.txt, https://en.wikipedia.org/wiki/Bzip2#File_format
"""

from __future__ import annotations

import re
import struct

import google_crc32c

HEAD_BYTES = 512
"""So much of a file tells."""

_COMPRESSIONS = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "bzip2": re.compile(rb"BZh[1-9](1AY&SY|\x17\x72\x45\x38\x50\x90)"),
    "lzma": re.compile(rb"\xfd7zXZ\x00"),
    # A frame may stand behind ones that are to be skipped.
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
}
"""Names as Beam's CompressionTypes have them."""

_UTF_16 = "text in UTF-16: save it as UTF-8"
_BINARY = (
    (rb"PK\x03\x04", "a zip archive or a spreadsheet (.xlsx): unpack it, or save it as CSV"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a spreadsheet (.xls): save it as CSV"),
    (rb"ARROW1|\xff\xff\xff\xff.\x00\x00\x00|FEA1", "an Arrow file: write it as Parquet"),
    (rb"\xff\xfe\x00\x00|\x00\x00\xfe\xff", "text in UTF-32: save it as UTF-8"),
    (rb"\xff\xfe|\xfe\xff", _UTF_16),
    (rb"(?:[\x09-\x7e]\x00){8}|(?:\x00[\x09-\x7e]){8}", _UTF_16),
    (rb"PAR1", "a Parquet file: name it .parquet, or give --input_format=parquet"),
    (rb"Obj\x01", "an Avro file: name it .avro, or give --input_format=avro"),
    (rb"%PDF-", "a PDF document"),
    (rb"SQLite format 3\x00", "an SQLite database: export its tables"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file: write it as Parquet"),
    (
        rb"\x89PNG\r\n|\xff\xd8\xff[\xdb\xe0-\xef]|GIF8[79]a|RIFF....WEBP",
        "an image: for `record: {source: image}`",
    ),
)
_READS_UTF_16 = "; `record: {csv: {encoding: utf-16}}` reads it if it has a byte order mark"
_WEB_PAGE = re.compile(rb"\s*<(!doctype|html|head|\?xml|Error>)", re.IGNORECASE)
_JSON_ARRAY = re.compile(rb"\s*\[\s*\{")
_PRETTY_OBJECT = re.compile(rb'\{[ \t]*\r?\n\s*"')
_TABLE = re.compile(rb"[^{\[\n]*\t[^\n]*\n[^{\[\n]*\t")
_OF_NO_TEXT = {"parquet": b"PAR1", "avro": b"Obj\x01"}


def compression(head: bytes, format: str) -> str:
    """How a file is compressed as a whole; empty if it is not.

    Args:
      head: its first HEAD_BYTES.
      format: name of the format that it has otherwise.
    """
    if format == "tfrecord" and _is_tfrecord(head):
        return ""
    for name, magic in _COMPRESSIONS.items():
        if magic.match(head):
            return name
    return ""


def foreign(head: bytes, format: str, encoding: str = "utf-8") -> str:
    """What a file is, and what to do with it, if it is plainly of no such format; else empty.

    Args:
      head: its first HEAD_BYTES, of the text if it is compressed.
      format: name of the format that it should have.
      encoding: that its text is said to have.
    """
    if format == "tfrecord" and _is_tfrecord(head):
        return ""
    if format in _OF_NO_TEXT and head.startswith(_OF_NO_TEXT[format]):
        return ""
    for magic, words in _BINARY:
        if re.match(magic, head, re.DOTALL) and not (words == _UTF_16 and encoding == "utf-16"):
            way_out = _READS_UTF_16 if words == _UTF_16 and format == "csv" else ""
            return f"looks like {words}{way_out}"
    if _WEB_PAGE.match(head):
        return "looks like a web page or XML, such as the answer of a server that refused"
    return _foreign_json(head.removeprefix(b"\xef\xbb\xbf")) if format == "jsonl" else ""


def _foreign_json(head: bytes) -> str:
    if _JSON_ARRAY.match(head):
        return "looks like one JSON array, expected an object a line: `jq -c '.[]'` writes that"
    if _PRETTY_OBJECT.match(head):
        return "looks like objects over several lines, expected one a line: `jq -c .` writes that"
    if _TABLE.match(head):
        return (
            "looks like a table with tabs, expected JSON lines; a name in .tsv, or "
            '--input_format=csv and `record: {csv: {delimiter: "\\t"}}`, reads it'
        )
    return ""


def _is_tfrecord(head: bytes) -> bool:
    """Whether it begins with a length and the right checksum of it."""
    if len(head) < 12:
        return False
    checksum = int(google_crc32c.value(head[:8]))
    masked = (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    return struct.pack("<I", masked) == head[8:12]

"""What a file is, by its first bytes, whatever its name says: compressed, or of another kind.

Sources: https://www.rfc-editor.org/rfc/rfc1952 (gzip), https://www.rfc-editor.org/rfc/rfc8878
(zstd), https://www.rfc-editor.org/rfc/rfc1950 (zlib), https://tukaani.org/xz/xz-file-format.txt,
https://en.wikipedia.org/wiki/Bzip2#File_format
"""

from __future__ import annotations

import json
import re
import struct

import google_crc32c

HEAD_BYTES = 512
"""So much of a file tells."""

_FRAME_BYTES = 12
"""Of a TFRecord, in front of its content."""

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
    # Columns may well be called `PAR1` or `FEA1`; a text has no control characters behind it.
    (
        rb"(ARROW1|FEA1)(?=.*[\x00-\x08])|\xff\xff\xff\xff..\x00\x00",
        "an Arrow file: write it as Parquet",
    ),
    (rb"ORC.{0,64}[\x00-\x08]", "an ORC file: write it as Parquet"),
    (rb"\x80[\x02-\x05]", "a pickle of Python: write JSON lines (`to_json` of pandas), or Parquet"),
    (rb"\x93NUMPY", "an array of NumPy (.npy): write it as Parquet"),
    (rb"(?=[^\x00]{0,256}\x00).{257}ustar[\x00 ]", "a tar archive: unpack it"),
    (rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07", "an archive (.7z, .rar): unpack it"),
    (
        rb"\x04\x22\x4d\x18|\xff\x06\x00\x00sNaPpY",
        "a compressed file (lz4, snappy): compress it with gzip, bzip2, zstd or xz",
    ),
    (rb"\xff\xfe\x00\x00|\x00\x00\xfe\xff", "text in UTF-32: save it as UTF-8"),
    (rb"\xff\xfe|\xfe\xff", _UTF_16),
    (rb"(?:[\x09-\x7e]\x00){8}|(?:\x00[\x09-\x7e]){8}", _UTF_16),
    (
        rb"PAR1(?=.*[\x00-\x08])",
        "a Parquet file: name it .parquet, or give --input_format=parquet",
    ),
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
_BOM = b"\xef\xbb\xbf"
_WEB_PAGE = re.compile(rb"\s*<(!doctype|html|head|\?xml|Error>)", re.IGNORECASE)
_JSON_ARRAY = re.compile(rb"\s*\[(\s*(\{|\]\s*\Z|\Z)|[ \t]*\r?\n(?s:.*)\n\s*\{)")
_OTHER_ARRAY = re.compile(rb"\s*\[[ \t]*\r?\n")
_PRETTY_OBJECT = re.compile(rb'\{[ \t]*\r?\n\s*"')
_FOLDED_OBJECT = re.compile(rb'\{[^\n]*[\[{:][ \t]*\r?\n[ \t]+\S|\{[^\n]*,[ \t]*\r?\n[ \t]*"')
_SEQUENCE = re.compile(rb"\x1e\s*[{\[]")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_LONE_RETURN = re.compile(rb'(?:[^"\r\n]|"[^"]*")*+\r(?!\n)[^\n]+\Z')
_SEVERAL_LINES = "looks like objects over several lines, expected one a line: `jq -c .` writes that"
PART_OF_ARRAY = (
    "it looks like a part of a JSON array, with a comma or a bracket beside the object; expected "
    "an object alone: a file that begins with `[` and ends with `]` is read as one array, "
    "and `sed 's/,$//'` takes commas from the ends of lines"
)
_FEWEST_COMMAS = 2
"""Lines in front of one that is an object by itself: one comma alone may be a slip."""
_TAB = b"\t"
_TABLES = {
    _TAB: "with tabs, expected JSON lines; a name in .tsv, or --input_format=csv and "
    '`record: {csv: {delimiter: "\\t"}}`, reads it',
    b",": "with commas, expected JSON lines; a name in .csv, or --input_format=csv, reads it",
    b";": "with semicolons, expected JSON lines; --input_format=csv and "
    '`record: {csv: {delimiter: ";"}}` read it',
    b"|": "with bars, expected JSON lines; --input_format=csv and "
    '`record: {csv: {delimiter: "|"}}` read it',
}
"""What stands between cells -> what to do about it."""
_TFRECORD = "a TFRecord file: name it .tfrecord, or give --input_format=tfrecord"
_NO_TFRECORD = "something else than TFRecord: the checksum of the length it begins with is wrong"
_OF_NO_TEXT = {"parquet": b"PAR1", "avro": b"Obj\x01"}


def compression(head: bytes, format: str, named: str = "") -> str:
    """How a file is compressed as a whole; empty if it is not.

    Args:
      head: its first HEAD_BYTES.
      format: name of the format that it has otherwise.
      named: what its name says: that it is, unless it begins as such a file does uncompressed, or
        as a known kind of file does.
    """
    if format == "tfrecord" and _is_tfrecord(head):
        return ""
    for name, magic in _COMPRESSIONS.items():
        if magic.match(head):
            return name
    # Two bytes, which text may begin with, too; TensorFlow's writer is the one that leaves it so.
    if _is_zlib(head) and (format == "tfrecord" or named == "deflate"):
        return "deflate"
    begin = _OF_NO_TEXT.get(format)
    is_plain = head.startswith(begin) if begin else bool(head) and not _CONTROL.search(head)
    is_plain |= bool(_known_kind(head) or _SEQUENCE.match(head)) or _is_tfrecord(head)
    return "" if is_plain else named


def is_json_array(head: bytes) -> bool:
    """Whether a text is one JSON array of objects, by its first HEAD_BYTES; no others count."""
    return _JSON_ARRAY.match(head[:HEAD_BYTES].removeprefix(_BOM)) is not None


def foreign(head: bytes, format: str, encoding: str = "utf-8", *, raw: bool = False) -> str:
    """What a file is, and what to do with it, if it is plainly of no such format; else empty.

    Args:
      head: its first HEAD_BYTES, of the text if it is compressed.
      format: name of the format that it should have.
      encoding: that its text is said to have.
      raw: whether records may hold anything; only how the file tells them apart is looked at then.
    """
    if raw or _is_tfrecord(head):
        return _misframed(head, format)
    if format in _OF_NO_TEXT and head.startswith(_OF_NO_TEXT[format]):
        return ""
    kind = _known_kind(head)
    if kind and not (kind == _UTF_16 and encoding == "utf-16"):
        return f"looks like {kind}{_READS_UTF_16 if kind == _UTF_16 and format == 'csv' else ''}"
    if _WEB_PAGE.match(head):
        return "looks like a web page or XML, such as the answer of a server that refused"
    if format == "csv" and encoding != "utf-16" and _LONE_RETURN.match(head):
        return (
            "looks like text whose lines end with a carriage return alone, as on old Macs: "
            "`tr '\\r' '\\n'` writes line feeds"
        )
    return _foreign_json(head.removeprefix(_BOM)) if format == "jsonl" else _misframed(head, format)


def _known_kind(head: bytes) -> str:
    """What a file that is no plain UTF-8 text is, and what to do with it; empty if nobody knows."""
    return next((words for magic, words in _BINARY if re.match(magic, head, re.DOTALL)), "")


def _misframed(head: bytes, format: str) -> str:
    if len(head) < _FRAME_BYTES or (format == "tfrecord") == _is_tfrecord(head):
        return ""
    return f"looks like {_NO_TFRECORD if format == 'tfrecord' else _TFRECORD}"


def _foreign_json(head: bytes) -> str:
    if _SEQUENCE.match(head):
        return "looks like a JSON text sequence, expected lines: `tr -d '\\036'` makes them"
    if is_json_array(head):
        return ""
    if _OTHER_ARRAY.match(head):
        return "looks like one JSON array without objects, expected objects in it, or one a line"
    if _PRETTY_OBJECT.match(head):
        return _SEVERAL_LINES
    if _delimiter(head) == _TAB:
        return f"looks like a table {_TABLES[_TAB]}"
    return "" if len(head) >= HEAD_BYTES else without_objects(head)


def without_objects(text: bytes) -> str:
    """What JSON lines are if none of them is an object; empty if one is, or nobody can tell.

    The first lines alone prove nothing: one that is no object may stand above a million that are.

    Args:
      text: a whole file, or much of its beginning.
    """
    text = text.removeprefix(_BOM)
    if not is_json_array(text) and _is_inside_of_array(text):
        return PART_OF_ARRAY.replace("it ", "", 1)
    if any(map(_is_object, text.split(b"\n"))):
        return ""
    if _FOLDED_OBJECT.match(text):
        return _SEVERAL_LINES
    if b"\n" not in text.rstrip() and _has_several_objects(text):
        return "looks like several objects in one line, expected one a line: `jq -c .` writes that"
    return f"looks like a table {words}" if (words := _TABLES.get(_delimiter(text))) else ""


def is_part_of_array(line: bytes) -> bool:
    """Whether a line is a value of a JSON array with what separates it, or a bracket alone."""
    line = line.strip()
    value = line.strip(b"[], \t")
    return value != line and (_is_object(value) if value else line.strip(b", \t") in (b"[", b"]"))


def _is_object(line: bytes) -> bool:
    """Whether a line is an object by itself; one behind blanks is a part of something larger."""
    try:
        return line.startswith(b"{") and isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _is_inside_of_array(text: bytes) -> bool:
    """Whether the lines are the values of a JSON array that lacks its brackets.

    The last object has none behind it, and the last line may be cut.
    """
    lines = [line for line in text.split(b"\n") if line.strip(b"] \t\r")]
    if not lines or is_part_of_array(lines[-1]):
        return bool(lines) and all(map(is_part_of_array, lines))
    return len(lines) > _FEWEST_COMMAS and all(map(is_part_of_array, lines[:-1]))


def _has_several_objects(text: bytes) -> bool:
    """Whether an object stands behind another one, as Firehose writes them."""
    decoded = text.decode(errors="ignore").lstrip()
    try:
        first, end = json.JSONDecoder().raw_decode(decoded)
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and decoded[end:].lstrip().startswith("{")


def _delimiter(text: bytes) -> bytes:
    """What stands between cells, if no line may be an object; empty if nothing does.

    It is in the second line as often as in the first, as far as that is known.
    """
    lines = text.split(b"\n")
    if len(lines) == 1 or any(line.lstrip()[:1] in (b"{", b"[") for line in lines):
        return b""
    for sign in _TABLES:
        first, second = (line.count(sign) for line in lines[:2])
        if second and (first == second or (len(lines) == 2 and first > second)):
            return sign
    return b""


def _is_tfrecord(head: bytes) -> bool:
    """Whether it begins with a length and the right checksum of it."""
    if len(head) < _FRAME_BYTES:
        return False
    checksum = int(google_crc32c.value(head[:8]))
    masked = (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    return struct.pack("<I", masked) == head[8:_FRAME_BYTES]


def _is_zlib(head: bytes) -> bool:
    """Whether it begins with the method deflate and a right check of these two bytes."""
    return len(head) > 1 and head[0] & 0x8F == 8 and int.from_bytes(head[:2], "big") % 31 == 0

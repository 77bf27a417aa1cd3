"""The formats of files, and which one a file has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.formats.avro.format import AVRO
from pipeline.formats.csv.format import CSV
from pipeline.formats.decoder import Decoder
from pipeline.formats.extension import plain_name
from pipeline.formats.format import Format
from pipeline.formats.image import IMAGE
from pipeline.formats.json.format import JSONL
from pipeline.formats.parquet.format import PARQUET
from pipeline.formats.raw import RawDecoder
from pipeline.formats.tfrecord.format import TFRECORD
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import RecordKey

FORMATS: Mapping[str, Format] = {
    each.name: each
    for each in (
        JSONL,
        CSV,
        PARQUET,
        AVRO,
        TFRECORD,
    )
}
"""Name -> format, of those that ``--input_format`` names; images are chosen by the record."""

OUTPUT_FORMATS = ("jsonl", "csv", "parquet")
"""The formats of prediction files."""


def format_named(name: str) -> Format:
    """The format of this name.

    Raises:
      KeyError: there is none.
    """
    return IMAGE if name == IMAGE.name else FORMATS[name]


def format_of(path: str, chosen: str = "auto") -> Format:
    """The format of a file: the chosen one, or what the end of its name says.

    Whatever ends otherwise is taken for JSON lines.

    Args:
      path: path or URI.
      chosen: name of a format, or "auto".
    """
    if chosen != "auto":
        return format_named(chosen)
    name = plain_name(path)
    return next((each for each in FORMATS.values() if name.endswith(each.extensions)), JSONL)


def decoders(record: RecordSpec, pass_through: Sequence[RecordKey] = ()) -> dict[str, Decoder]:
    """Name of a format -> decoder of its blocks, of each format that such records can have.

    Args:
      record: the declared id and fields.
      pass_through: keys whose values predictions repeat as they came.
    """
    if record.whole_files:
        return {IMAGE.name: IMAGE.decoder(record)}
    if record.source == "raw":
        return {each.name: RawDecoder(record, each.raw_problem) for each in FORMATS.values()}
    return {each.name: each.decoder(record, pass_through) for each in FORMATS.values()}

"""The decoder of each format."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.core.decode import Decoder
from pipeline.core.decode_avro import AvroDecoder
from pipeline.core.decode_csv import CsvDecoder
from pipeline.core.decode_json import JsonDecoder
from pipeline.core.decode_parquet import ParquetDecoder
from pipeline.core.decode_raw import RawDecoder
from pipeline.core.decode_tfrecord import TfRecordDecoder
from pipeline.core.formats import Format
from pipeline.core.record_spec import RecordSpec

_DECODERS: dict[Format, type[Decoder]] = {
    "jsonl": JsonDecoder,
    "csv": CsvDecoder,
    "parquet": ParquetDecoder,
    "avro": AvroDecoder,
    "tfrecord": TfRecordDecoder,
}


def decoders(record: RecordSpec, pass_through: Sequence[str] = ()) -> dict[Format, Decoder]:
    """A decoder for each format.

    Args:
      record: the declared id and fields.
      pass_through: keys whose values predictions repeat as they came.
    """
    if record.source == "raw":
        return {name: RawDecoder(record) for name in _DECODERS}
    return {name: decoder(record, pass_through) for name, decoder in _DECODERS.items()}

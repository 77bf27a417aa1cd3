"""The decoder of each format."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.batch.formats import Format
from pipeline.formats.avro.decoder import AvroDecoder
from pipeline.formats.csv.decoder import CsvDecoder
from pipeline.formats.decoder import Decoder
from pipeline.formats.json_decoder import JsonDecoder
from pipeline.formats.parquet_decoder import ParquetDecoder
from pipeline.formats.raw_decoder import RawDecoder
from pipeline.formats.tfrecord_decoder import TfRecordDecoder
from pipeline.spec.record import RecordSpec

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

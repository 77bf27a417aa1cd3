"""Reading tables and queries from BigQuery as blocks of records.

Rows are read from an export (``Method.EXPORT``), not through the Storage Read API
(``Method.DIRECT_READ``): a session of that API ends after six hours, also while models are slow,
its streams cannot be split among more workers, and Beam 2.77 opens it in the project of the table,
where a user of a shared table may not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.gcp.bigquery import ReadFromBigQuery
from apache_beam.transforms.window import GlobalWindows

from pipeline.batch.block import Block
from pipeline.connectors.bigquery.input_rows import RowEncoder
from pipeline.connectors.bigquery.names import TableName
from pipeline.formats.lines import MAX_BLOCK_BYTES
from pipeline.runner.beam_types import DoFn, PTransform
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import RecordKey


class ReadTable(PTransform):
    """Start of the pipeline -> PCollection of :class:`Block`, a record for each row.

    The table, or the result of the query, is exported to Avro files under ``--temp_location`` (a
    ``gs://`` folder), which are removed when they have been read. A query runs in ``--project``,
    into a dataset that is made for it and removed. The order of rows is not guaranteed.

    Args:
      source: the table, or a query in standard SQL.
      record: the declared fields.
      pass_through: columns that predictions repeat.
      block_rows: most rows in a block.
    """

    def __init__(
        self,
        source: TableName | str,
        record: RecordSpec,
        pass_through: Sequence[RecordKey],
        block_rows: int,
    ) -> None:
        super().__init__()
        self._source = source
        self._to_blocks = _ToBlocks(source, record, pass_through, block_rows)

    def expand(self, begin: Any) -> Any:
        """Builds the steps read and gather."""
        what: dict[str, Any] = {"query": self._source, "use_standard_sql": True}
        if isinstance(self._source, TableName):
            what = {"table": self._source.for_beam}
        rows = begin | "Export" >> ReadFromBigQuery(method=ReadFromBigQuery.Method.EXPORT, **what)
        return rows | "Blocks" >> beam.ParDo(self._to_blocks)


@beam.typehints.with_output_types(Block)
class _ToBlocks(DoFn):
    """Rows of a bundle, gathered: from here on no row is an element of its own."""

    def __init__(
        self,
        source: TableName | str,
        record: RecordSpec,
        pass_through: Sequence[RecordKey],
        block_rows: int,
    ) -> None:
        self._name = str(source) if isinstance(source, TableName) else "query"
        self._record = record
        self._pass_through = tuple(pass_through)
        self._block_rows = block_rows

    def setup(self) -> None:
        self._encoder = RowEncoder(self._record, self._pass_through)

    def start_bundle(self) -> None:
        self._payloads: list[bytes] = []
        self._bytes = 0

    def process(self, row: dict[str, Any]) -> Iterator[Block]:
        payload = self._encoder.encode(row)
        self._payloads.append(payload)
        self._bytes += len(payload)
        if len(self._payloads) >= self._block_rows or self._bytes >= MAX_BLOCK_BYTES:
            yield self._block()

    def finish_bundle(self) -> Iterator[Any]:
        if self._payloads:
            yield GlobalWindows.windowed_value(self._block())

    def _block(self) -> Block:
        payloads, self._payloads, self._bytes = self._payloads, [], 0
        return Block(tuple(payloads), self._name)

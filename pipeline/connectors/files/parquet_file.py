"""A Parquet file that is written table by table."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems

# A row group is the unit in which readers share a file and skip parts of it.
_GROUP_ROWS = 128 << 10
_GROUP_BYTES = 32 << 20


class ParquetFile:
    """Gathers tables into row groups; holds one of them at a time.

    Args:
      path: where to write, in any storage Beam reaches.
    """

    def __init__(self, path: str) -> None:
        self._sink: Any = FileSystems.create(path)
        self._writer: pq.ParquetWriter | None = None
        self._held: list[pa.RecordBatch] = []
        self._held_rows = self._held_bytes = 0

    def write(self, table: pa.RecordBatch) -> None:
        """Adds rows.

        Raises:
          pa.ArrowException: their columns are not those of the first table.
        """
        self._held.append(table)
        self._held_rows += table.num_rows
        self._held_bytes += table.nbytes
        if self._held_rows >= _GROUP_ROWS or self._held_bytes >= _GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Ends the file; without it, it cannot be read."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
        self._sink.close()

    def _flush(self) -> None:
        if not self._held:
            return
        group = pa.Table.from_batches(self._held)
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._sink, group.schema, use_dictionary=_repetitive(group.schema)
            )
        self._writer.write_table(group, row_group_size=group.num_rows)
        self._held.clear()
        self._held_rows = self._held_bytes = 0


def _repetitive(schema: pa.Schema) -> list[str]:
    """Columns of text but for ids: only those are likely to become smaller with a dictionary."""
    paths = []
    for field in schema:
        inner = field.type if pa.types.is_struct(field.type) else ()
        paths += [f"{field.name}.{child.name}" for child in inner]
        if pa.types.is_string(field.type) and field.name != "id":
            paths.append(field.name)
    return paths

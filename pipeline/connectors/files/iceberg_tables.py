"""Files in the folder of an Iceberg table that its newest snapshot may not, or not wholly, have.

Iceberg keeps the files of older snapshots in ``data`` beside those of the newest, and describes all
that it knows in the newest file of ``metadata`` (https://iceberg.apache.org/spec/).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.connectors.storage import paths
from pipeline.connectors.storage.errors import READER_ROLE, explain
from pipeline.errors import PathError

_METADATA = re.compile(r"v?(\d+)(?:-[^/.]*)?(\.gz)?\.metadata\.json(\.gz)?")
_WAY_OUT = (
    "write the rows of the table to a folder of their own with a reader of Iceberg tables, such as "
    "a query that BigQuery or Spark exports"
)


def problems(files: Sequence[str]) -> Iterator[str]:
    """Why not all rows of these files may be rows of the Iceberg tables in whose folders they are.

    Args:
      files: paths of Parquet files.
    """
    tables = Counter(table for file in files if (table := _table_of(file)) is not None)
    for table, count in tables.items():
        try:
            metadata = _metadata_of(table)
        except Exception as error:
            reason = explain(table, error, READER_ROLE)
            yield (
                f"{table} is an Iceberg table whose metadata cannot be read: {reason}; {_WAY_OUT}"
            )
            continue
        if metadata is not None and (reason := _older(metadata, count)):
            yield f"{table} is an Iceberg table, and {reason}; {_WAY_OUT}"


def _table_of(file: str) -> str | None:
    """The folder of the table that a file would belong to; None where no table has it."""
    before, is_data, _ = file.rpartition("/data/")
    if is_data:
        return before
    return "." if file.startswith("data/") else None


def _metadata_of(table: str) -> Mapping[str, Any] | None:
    """What a table says of itself last; None where a folder is no table.

    Raises:
      ValueError: no name says which file is the newest.
    """
    try:
        found = paths.match_input(f"{table}/metadata/[!._]*.metadata.json*")
    except PathError:
        return None
    versions = {
        int(match[1]): (file.path, match[2] or match[3])
        for file in found
        if (match := _METADATA.fullmatch(file.path.rsplit("/", 1)[-1]))
    }
    if not versions:
        raise ValueError(f"no number in the name of {found[0].path}")
    path, is_packed = versions[max(versions)]
    how = CompressionTypes.GZIP if is_packed else CompressionTypes.UNCOMPRESSED
    with FileSystems.open(path, compression_type=how) as opened:
        content: Mapping[str, Any] = json.loads(opened.read())
    return content


def _older(metadata: Mapping[str, Any], count: int) -> str:
    """Why the files of a table may have rows that it does not; empty where they are all its own."""
    snapshots = metadata.get("snapshots") or []
    newest: Mapping[str, Any] = next(
        (one for one in snapshots if one["snapshot-id"] == metadata.get("current-snapshot-id")), {}
    )
    totals = newest.get("summary", {})
    if int(totals.get("total-delete-files", 0)):
        return "some of its files hold rows that it marks as deleted"
    held = int(totals.get("total-data-files", count if newest else 0))
    if held < count:
        return f"{count} of its files match, where its newest snapshot has {held}"
    # What the first of the snapshots replaced went with those before it.
    kinds = {one.get("summary", {}).get("operation", "append") for one in snapshots[1:]}
    if kinds - {"append"}:
        return "it keeps the files of older snapshots, whose rows were deleted or written again"
    return ""

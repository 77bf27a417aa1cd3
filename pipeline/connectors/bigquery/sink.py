"""Writing predictions and dead letters to tables of BigQuery, which exist.

Batch jobs load files: all rows appear at once, or none. Streaming jobs insert rows as they come;
one that the table refuses is a dead letter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
import orjson
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.io.gcp.bigquery import BigQueryDisposition, WriteToBigQuery
from apache_beam.io.gcp.bigquery_tools import RetryStrategy
from apache_beam.options.pipeline_options import GoogleCloudOptions
from apache_beam.pvalue import AsIter
from google.api_core.exceptions import ClientError, TooManyRequests

from pipeline.batch.batch import Reject
from pipeline.connectors.bigquery.names import TableName, new_client
from pipeline.connectors.bigquery.output_rows import MOST_BYTES, Row, release_of_row
from pipeline.connectors.storage.temporary_folder import new_folder
from pipeline.errors import ServiceError
from pipeline.formats.line_encoder import dead_letter
from pipeline.readable import logger
from pipeline.runner.beam_types import DoFn, PTransform

_LOGGER = logger(__name__)

ToRows = Callable[[bytes], list[Row]]
"""From a chunk of JSON lines to rows; pickled."""

_MOST_ROWS = 500
"""Of a request, as https://cloud.google.com/bigquery/quotas#streaming_inserts advises."""


class LoadRows(PTransform):
    """PCollection of chunks of JSON lines (bytes) -> rows appended by load jobs, at the end.

    What comes out are the jobs, complete when all rows are in the table.

    The files to load are written under ``--temp_location``, a ``gs://`` folder, and removed when
    all are loaded; where a load fails they stay. Up to 10,000 files are one load job, so all rows
    of it appear or none.

    For bounded collections.

    Args:
      table: exists.
      to_rows: makes rows of a chunk.
      project: where load jobs run.
    """

    def __init__(self, table: TableName, to_rows: ToRows, project: str) -> None:
        super().__init__()
        self._table = table
        self._to_rows = to_rows
        self._project = project

    def expand(self, chunks: Any) -> Any:
        """Builds the write."""
        rows = chunks | "Rows" >> beam.FlatMap(self._to_rows).with_output_types(dict[str, Any])
        temp = chunks.pipeline.options.view_as(GoogleCloudOptions).temp_location
        folder = new_folder(f"{str(temp).rstrip('/')}/load")
        loaded = rows | "Load" >> WriteToBigQuery(
            self._table.for_beam,
            method=WriteToBigQuery.Method.FILE_LOADS,
            create_disposition=BigQueryDisposition.CREATE_NEVER,
            write_disposition=BigQueryDisposition.WRITE_APPEND,
            load_job_project_id=self._project,
            custom_gcs_temp_location=folder,
        )
        found = (loaded.destination_load_jobid_pairs, loaded.destination_copy_jobid_pairs)
        jobs = found | "Jobs" >> beam.Flatten()
        # A bundle that starts load jobs waits for their ends, so the collection is complete then.
        _ = (
            chunks.pipeline
            | "Folder" >> beam.Create([folder])
            | "RemoveFiles" >> beam.ParDo(_RemoveFiles(), AsIter(jobs))
        )
        return jobs


class _RemoveFiles(DoFn):
    """Removes the files in a folder, when the side input beside it is complete."""

    def process(self, folder: str, jobs: Iterable[Any]) -> None:
        try:
            (found,) = FileSystems.match([f"{folder}/**"])
            FileSystems.delete([each.path for each in found.metadata_list])
        except (BeamIOError, OSError) as error:  # the rows are in the table all the same
            _LOGGER.warning("the files under %s are loaded, but not removed: %s", folder, error)


class InsertRows(PTransform):
    """PCollection of chunks of JSON lines (bytes) -> rows inserted as they come -> refused rows.

    At least once. What comes out are dead letters, a line each, of the rows that the table refused;
    stage "write", error type "not_inserted". A bundle is not committed before BigQuery has its
    rows.

    Args:
      table: exists.
      to_rows: makes rows of a chunk.

    Raises:
      ServiceError: in a running job, when the table is gone or may not be written any more.
    """

    def __init__(self, table: TableName, to_rows: ToRows) -> None:
        super().__init__()
        self._insert = _Insert(table, to_rows)

    def expand(self, chunks: Any) -> Any:
        """Builds the write."""
        return chunks | "Insert" >> beam.ParDo(self._insert)


class InsertByService(PTransform):
    """As :class:`InsertRows`, by Beam, with ids that a retry repeats, behind a shuffle.

    Local runners would hold rows back there until the stream ends.

    Args:
      table, to_rows: see :class:`InsertRows`.
    """

    def __init__(self, table: TableName, to_rows: ToRows) -> None:
        super().__init__()
        self._table = table
        self._to_rows = to_rows

    def expand(self, chunks: Any) -> Any:
        """Builds the write."""
        rows = chunks | "Rows" >> beam.FlatMap(self._to_rows).with_output_types(dict[str, Any])
        result = rows | "Insert" >> WriteToBigQuery(
            self._table.for_beam,
            method=WriteToBigQuery.Method.STREAMING_INSERTS,
            create_disposition=BigQueryDisposition.CREATE_NEVER,
            write_disposition=BigQueryDisposition.WRITE_APPEND,
            insert_retry_strategy=RetryStrategy.RETRY_ON_TRANSIENT_ERROR,
        )
        return result.failed_rows_with_errors | "Refused" >> beam.Map(
            _refused_by_beam, str(self._table)
        ).with_output_types(bytes)


@beam.typehints.with_input_types(bytes)
@beam.typehints.with_output_types(bytes)
class _Insert(DoFn):
    def __init__(self, table: TableName, to_rows: ToRows) -> None:
        self._table = table
        self._to_rows = to_rows

    def setup(self) -> None:
        self._client = new_client(self._table.project)

    def process(self, chunk: bytes) -> Iterator[bytes]:
        table = str(self._table)
        rows, long = _split_by_length(self._to_rows(chunk))
        for row in long:
            yield letter_of(row, f"it is longer than {MOST_BYTES:,} bytes", table)
        for request in rows:
            for error in self._insert(request):
                yield letter_of(request[error["index"]], error["errors"], table)

    def teardown(self) -> None:
        self._client.close()

    def _insert(self, rows: list[Row]) -> Iterable[Mapping[str, Any]]:
        """The rows that the table refused; errors that pass are waited for, up to ten minutes."""
        try:
            errors: Iterable[Mapping[str, Any]] = self._client.insert_rows_json(
                str(self._table), rows, skip_invalid_rows=True
            )
        except ClientError as error:
            if isinstance(error, TooManyRequests):
                raise
            raise ServiceError(
                f"table '{self._table}' takes no rows any more: {error.message}"
            ) from error
        return errors


def _split_by_length(rows: Iterable[Row]) -> tuple[list[list[Row]], list[Row]]:
    """The rows in portions that one request can hold, and those too long for any."""
    portions: list[list[Row]] = [[]]
    long: list[Row] = []
    size = 0
    for row in rows:
        row_bytes = len(json.dumps(row))  # as the client does, which escapes all but ASCII
        if row_bytes > MOST_BYTES:
            long.append(row)
            continue
        if len(portions[-1]) == _MOST_ROWS or size + row_bytes > MOST_BYTES:
            portions.append([])
            size = 0
        portions[-1].append(row)
        size += row_bytes
    return [portion for portion in portions if portion], long


def _refused_by_beam(failed: tuple[Any, Row, Any], table: str) -> bytes:
    _, row, errors = failed
    return letter_of(row, errors, table)


def letter_of(row: Row, errors: Any, table: str) -> bytes:
    """The dead letter of a row, as a line.

    Args:
      row: as it was sent.
      errors: BigQuery's own, or text.
      table: what refused it.
    """
    if not isinstance(errors, str):
        errors = "; ".join(
            " ".join(filter(None, (e.get("location"), e.get("message") or e.get("reason"))))
            for e in errors
        )
    reject = Reject(
        payload=orjson.dumps(row),
        record_id=row.get("id"),
        stage="write",
        error_type="not_inserted",
        error_message=f"table '{table}' refused the row: {errors}",
    )
    return dead_letter(reject, datetime.now(UTC), release_of_row(row))

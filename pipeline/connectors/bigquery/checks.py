"""What is checked of tables and queries before a job starts, and the tables that it makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from pipeline.connectors.bigquery import names as bigquery_names
from pipeline.connectors.bigquery.names import TableName
from pipeline.connectors.bigquery.schema import TableColumn, column_of_api, column_to_api
from pipeline.errors import PathError

VIEWER_ROLE = "roles/bigquery.dataViewer"
DATA_EDITOR_ROLE = "roles/bigquery.dataEditor"
JOB_ROLE = "roles/bigquery.jobUser"
USER_ROLE = "roles/bigquery.user"

_WAIT_SECS = 20.0
_CALL: dict[str, Any] = {"timeout": _WAIT_SECS, "retry": None}
_R = TypeVar("_R")


def readable_columns(table: TableName, project: str) -> tuple[TableColumn, ...]:
    """The columns of a table that can be exported by a job in `project`.

    Raises:
      PathError: it does not exist, is a view, or may not be read or exported.
    """
    found = _call(
        f"table '{table}'", VIEWER_ROLE, lambda c: c.get_table(str(table), **_CALL), table
    )
    if found.table_type not in ("TABLE", "SNAPSHOT", "CLONE"):
        raise PathError(
            f"'{table}' is a {found.table_type.lower().replace('_', ' ')}, which cannot be "
            f"exported; give --input_query='SELECT * FROM `{table}`' instead"
        )
    _require(table, "bigquery.tables.export", VIEWER_ROLE)
    check_jobs(project)
    return _columns(found.schema)


def query_columns(sql: str, project: str) -> tuple[TableColumn, ...]:
    """The columns of a query's result, found without running it.

    Raises:
      PathError: the query is not valid, reads what it may not, or may not be run in `project`.
    """
    # Beam makes a dataset for the result, for which the role to run jobs does not suffice.
    job = _dry_run(sql, project, f"{USER_ROLE}, and {VIEWER_ROLE} on what the query reads")
    return _columns(job.schema or ())


def check_jobs(project: str) -> None:
    """Makes sure that jobs (loads, exports, queries) can be started in a project.

    Raises:
      PathError: they cannot.
    """
    _dry_run("SELECT 1", project, JOB_ROLE)


def existing_columns(table: TableName) -> tuple[TableColumn, ...] | None:
    """The columns of a table that can be appended to; None if it does not exist, its dataset does.

    Raises:
      PathError: there is no such dataset, or the table may not be written.
    """
    with _client(table.project) as client:
        try:
            with _explained(f"table '{table}'", DATA_EDITOR_ROLE):
                found = client.get_table(str(table), **_CALL)
        except _MissingError:
            with _explained(f"dataset '{table.project}.{table.dataset}'", DATA_EDITOR_ROLE):
                client.get_dataset(f"{table.project}.{table.dataset}", **_CALL)
            return None
    if found.table_type != "TABLE":
        kind = found.table_type.lower().replace("_", " ")
        raise PathError(f"'{table}' is a {kind}, expected a table")
    _require(table, "bigquery.tables.updateData", DATA_EDITOR_ROLE)
    return _columns(found.schema)


def create(table: TableName, columns: Sequence[TableColumn]) -> None:
    """Makes a table; one that has come into being meanwhile is left as it is.

    Raises:
      PathError: it cannot be made.
    """
    schema = [bigquery.SchemaField.from_api_repr(column_to_api(column)) for column in columns]
    made = bigquery.Table(str(table), schema=schema)
    where = f"table '{table}'"
    _call(where, DATA_EDITOR_ROLE, lambda c: c.create_table(made, exists_ok=True, **_CALL), table)


class _MissingError(PathError):
    """Nothing is there."""


def _call(what: str, role: str, action: Callable[[Any], _R], table: TableName) -> _R:
    with _client(table.project) as client, _explained(what, role):
        return action(client)


def _dry_run(sql: str, project: str, role: str) -> Any:
    config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
    with _client(project) as client, _explained(f"project '{project}'", role):
        return client.query(sql, job_config=config, job_retry=None, **_CALL)


def _require(table: TableName, permission: str, role: str) -> None:
    answer = _call(
        f"table '{table}'",
        role,
        lambda c: c.test_iam_permissions(str(table), [permission], **_CALL),
        table,
    )
    if permission not in answer.get("permissions", ()):
        raise PathError(_no_permission(f"table '{table}'", role))


@contextmanager
def _client(project: str) -> Iterator[Any]:
    try:
        client = bigquery_names.new_client(project)
    except GoogleAuthError as error:
        raise PathError(f"BigQuery: no valid Google Cloud credentials ({error})") from error
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _explained(what: str, role: str) -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        raise _MissingError(f"{what} does not exist ({error.message})") from error
    except Forbidden as error:
        raise PathError(f"{_no_permission(what, role)} ({error.message})") from error
    except GoogleAuthError as error:
        raise PathError(f"{what}: no valid Google Cloud credentials ({error})") from error
    except GoogleAPICallError as error:
        raise PathError(f"{what}: {error.message}") from error
    except OSError as error:  # of requests, which wraps all its errors in it
        raise PathError(f"{what}: BigQuery cannot be reached ({error})") from error


def _no_permission(what: str, role: str) -> str:
    return f"no permission for {what}: the account that runs the job needs the role {role}"


def _columns(schema: Sequence[Any]) -> tuple[TableColumn, ...]:
    return tuple(column_of_api(field.to_api_repr()) for field in schema)

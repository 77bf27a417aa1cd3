"""Tables of BigQuery, looked at before a job starts; and made, where they are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from pipeline.batch.tensors import Shape
from pipeline.connectors.bigquery import checks as bigquery_checks
from pipeline.connectors.bigquery import input_rows
from pipeline.connectors.bigquery import names as bigquery_names
from pipeline.connectors.bigquery import schema as table_schema
from pipeline.connectors.bigquery.names import TableName
from pipeline.connectors.bigquery.schema import DEAD_LETTER_COLUMNS, TableColumn
from pipeline.errors import LaunchError, PathError
from pipeline.launch.settings import Inputs
from pipeline.launch.table_names import Tables
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import Graph

Types = Mapping[str, tuple[str, Shape]]
_Columns = Callable[[], Sequence[TableColumn]]


def problems(tables: Tables, inputs: Inputs, spec: EnsembleSpec) -> Iterator[str]:
    """What is wrong with the tables, as far as it can be seen without the models, by parameter."""
    if not tables.any:
        return
    bigquery_names.tell_beam(tables.project)
    if tables.source is not None:
        parameter = "input_query" if inputs.input_query else "input_table"
        if spec.record.source is not None:
            yield (
                f"--{parameter}: `source: {spec.record.source}` in the ensemble file goes with no "
                "table; leave it out: a field of dtype bytes reads a column of type BYTES"
            )
        else:
            yield from _named(parameter, partial(_check_source, tables, spec))
    for parameter, table in _outputs(tables):
        yield from _named(parameter, partial(bigquery_checks.existing_columns, table))
        if not inputs.streaming:
            yield from _named(parameter, partial(bigquery_checks.check_jobs, tables.project))


def prepare_outputs(
    tables: Tables,
    graph: Graph,
    types: Types,
    inputs: Inputs,
    say: Callable[[str], None],
) -> None:
    """Makes the tables to write, or makes sure that those that exist can take the rows.

    Args:
      tables: of the job.
      graph: the ensemble.
      types: column -> (dtype, shape of a row), as far as known.
      inputs: of the job; the rows of a streaming one have an event time.
      say: told of each table that is made.

    Raises:
      LaunchError: a table cannot be made or does not fit; names column, found, expected.
    """
    optional = [column for column, gaps in graph.gaps.items() if gaps]
    predictions = partial(
        table_schema.prediction_columns,
        graph.spec,
        types,
        event_times=inputs.streaming,
        optional=optional,
    )
    columns: dict[str, _Columns] = {
        "output_table": predictions,
        "dead_letter_table": lambda: DEAD_LETTER_COLUMNS,
    }
    wrong: list[str] = []
    for prepare in (_check_fit, partial(_create_missing, say=say)):
        if wrong:
            break  # a launch that is refused makes no table
        for parameter, table in _outputs(tables):
            wrong += _named(parameter, partial(prepare, table, columns[parameter]))
    if wrong:
        raise LaunchError(wrong)


def _outputs(tables: Tables) -> Iterator[tuple[str, TableName]]:
    if tables.predictions:
        yield "output_table", tables.predictions
    if tables.dead_letters:
        yield "dead_letter_table", tables.dead_letters


def _check_source(tables: Tables, spec: EnsembleSpec) -> None:
    source = tables.source
    if isinstance(source, TableName):
        found = bigquery_checks.readable_columns(source, tables.project)
        where = f"table '{source}'"
    else:
        found = bigquery_checks.query_columns(str(source), tables.project)
        where = "result of the query"
    problems = input_rows.input_problems(spec.record, found, spec.pass_through)
    wrong = [f"{where}: {problem}" for problem in problems]
    if wrong:
        raise PathError(wrong)


def _check_fit(table: TableName, columns: _Columns) -> None:
    found = bigquery_checks.existing_columns(table)
    misfits = [] if found is None else table_schema.misfits(columns(), found)
    if wrong := [f"table '{table}': {misfit}" for misfit in misfits]:
        raise PathError(wrong)


def _create_missing(table: TableName, columns: _Columns, say: Callable[[str], None]) -> None:
    if bigquery_checks.existing_columns(table) is None:
        bigquery_checks.create(table, columns())
        say(f"made table {table}")


def _named(parameter: str, check: Callable[[], object]) -> list[str]:
    try:
        check()
    except LaunchError as error:
        return [f"--{parameter}: {problem}" for problem in error.problems]
    return []

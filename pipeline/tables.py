"""The tables of a job: from its parameters to names and the project that runs its BigQuery jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipeline.connectors import bigquery_names
from pipeline.connectors.bigquery_names import TableName
from pipeline.errors import ParameterError
from pipeline.settings import Settings

_PARAMETERS = ("input_table", "input_query", "output_table", "dead_letter_table")


@dataclass(frozen=True)
class Tables:
    """What a job reads from BigQuery and writes to it.

    Attributes:
      source: a table or a query in standard SQL; None if the input is something else.
      predictions, dead_letters: None where nothing goes to a table.
      project: where queries, exports and loads run; empty if the job has no tables.
    """

    source: TableName | str | None
    predictions: TableName | None
    dead_letters: TableName | None
    project: str

    @property
    def any(self) -> bool:
        """Whether the job has to do with BigQuery at all."""
        return any((self.source, self.predictions, self.dead_letters))


def tables_of(settings: Settings, options: PipelineOptions) -> Tables:
    """The tables that the parameters name, without `problems`.

    Jobs run in ``--project``, without it in that of the first table named.
    """
    source, predictions, dead_letters = (
        bigquery_names.parse(name) if name else None
        for name in (settings.input_table, settings.output_table, settings.dead_letter_table)
    )
    named = [table.project for table in (source, predictions, dead_letters) if table]
    project = options.view_as(GoogleCloudOptions).project or next(iter(named), "")
    return Tables(source or settings.input_query or None, predictions, dead_letters, project)


def problems(settings: Settings, options: PipelineOptions) -> Iterator[str]:
    """What is wrong with the parameters that name tables, and what they lack."""
    given = [name for name in _PARAMETERS if getattr(settings, name)]
    for name in given:
        if name != "input_query":
            try:
                bigquery_names.parse(getattr(settings, name))
            except ParameterError as error:
                yield f"--{name}: {error}"
    cloud = options.view_as(GoogleCloudOptions)
    if settings.dry_run or not given:
        return
    if settings.input_query and not cloud.project:
        yield "--project is missing: --input_query runs in that project"
    temp = cloud.temp_location or ""
    if not settings.streaming and not temp.startswith("gs://"):
        found = f"'{temp}'" if temp else "nothing"
        yield (
            f"--temp_location: found {found}, expected a gs:// folder: "
            f"the rows of --{given[0]} pass through files there"
        )

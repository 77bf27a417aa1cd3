"""The tables of a job: from its parameters to names and the project that runs its BigQuery jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipeline.connectors.bigquery import names as bigquery_names
from pipeline.connectors.bigquery.names import TableName
from pipeline.errors import ParameterError
from pipeline.launch.settings import Content, Inputs, Medium, Outputs
from pipeline.spec.uris import bucket_of


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


def tables_of(inputs: Inputs, outputs: Outputs, options: PipelineOptions) -> Tables:
    """The tables that the parameters name, without `problems`.

    Jobs run in ``--project``, without it in that of the first table named.
    """
    source, predictions, dead_letters = (
        bigquery_names.parse(name) if name else None
        for name in (
            inputs.input_table,
            outputs.place(Content.PREDICTIONS, Medium.TABLE),
            outputs.place(Content.DEAD_LETTERS, Medium.TABLE),
        )
    )
    named = [table.project for table in (source, predictions, dead_letters) if table]
    project = options.view_as(GoogleCloudOptions).project or next(iter(named), "")
    return Tables(source or inputs.input_query or None, predictions, dead_letters, project)


def problems(
    inputs: Inputs, outputs: Outputs, options: PipelineOptions, *, dry_run: bool
) -> Iterator[str]:
    """What is wrong with the parameters that name tables, and what they lack."""
    sources = {"input_table": inputs.input_table, "input_query": inputs.input_query}
    given = {parameter: source for parameter, source in sources.items() if source}
    given |= {sink.parameter: sink.place for sink in outputs.of(Medium.TABLE)}
    named: dict[str, TableName] = {}
    for parameter, name in given.items():
        if parameter != "input_query":
            try:
                named[parameter] = bigquery_names.parse(name)
            except ParameterError as error:
                yield f"--{parameter}: {error}"
    for (other, first), (parameter, table) in combinations(named.items(), 2):
        if table == first:
            yield (
                f"--{parameter}: found '{table}', the --{other} as well, expected a table of its "
                "own: their columns differ"
            )
    cloud = options.view_as(GoogleCloudOptions)
    if dry_run or not given:
        return
    if inputs.input_query and not cloud.project:
        yield "--project is missing: --input_query runs in that project"
    temp = cloud.temp_location or ""
    if not inputs.streaming and bucket_of(temp) is None:
        found = f"'{temp}'" if temp else "nothing"
        yield (
            f"--temp_location: found {found}, expected a gs:// folder: "
            f"the rows of --{next(iter(given))} pass through files there"
        )

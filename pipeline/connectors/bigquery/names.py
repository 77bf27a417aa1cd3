"""Names of BigQuery tables, and the client."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from google.cloud import bigquery

from pipeline.errors import ParameterError

# https://cloud.google.com/bigquery/docs/tables#table_naming; a project may begin with its domain.
_TABLE = re.compile(
    r"(?P<project>([a-z0-9.-]+:)?[a-z][a-z0-9-]*)[:.](?P<dataset>\w+)\.(?P<table>[\w -]+)"
)


@dataclass(frozen=True)
class TableName:
    """A table's full name."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}"

    @property
    def for_beam(self) -> str:
        """As Beam reads it."""
        return f"{self.project}:{self.dataset}.{self.table}"


def parse(text: str) -> TableName:
    """The table that `text` names, with a colon or a dot behind the project.

    Raises:
      ParameterError: it is not the name of a table, or lacks the project.
    """
    match = _TABLE.fullmatch(text)
    if match is None:
        raise ParameterError(f"found '{text}', expected PROJECT.DATASET.TABLE")
    return TableName(match["project"], match["dataset"], match["table"])


def new_client(project: str) -> Any:
    """A client whose jobs run in `project`; honours ``BIGQUERY_EMULATOR_HOST``.

    Raises:
      google.auth.exceptions.DefaultCredentialsError: there are no credentials.
    """
    return bigquery.Client(project=project)


def tell_beam(project: str) -> None:
    """Lets Beam's own clients in this process find a project.

    Beam 2.77 makes some of them without one, which fails where the environment names none: in a
    local run, when everything is computed and the first load job starts.
    """
    os.environ.setdefault("GOOGLE_CLOUD_PROJECT", project)

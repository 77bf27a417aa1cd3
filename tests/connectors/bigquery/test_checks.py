"""Names, and what cannot be known of tables because BigQuery is not reached."""

import pytest

from pipeline.connectors.bigquery import checks as bigquery_checks
from pipeline.connectors.bigquery.names import TableName, parse, tell_beam
from pipeline.errors import ParameterError, PathError

TABLE = TableName("a-project", "sets", "rows")


@pytest.mark.parametrize(
    ("text", "project"),
    [
        ("a-project:sets.rows", "a-project"),
        ("a-project.sets.rows", "a-project"),
        ("example.com:a-project:sets.rows", "example.com:a-project"),
        ("example.com:a-project.sets.rows", "example.com:a-project"),
    ],
)
def test_table_is_named_with_a_colon_or_a_dot(text, project):
    assert parse(text) == TableName(project, "sets", "rows")


@pytest.mark.parametrize("text", ["rows", "sets.rows", "p:rows", "p.s.t.u", "P Q.s.t", "p.s-s.t"])
def test_other_forms_are_refused(text):
    with pytest.raises(ParameterError, match=r"expected PROJECT\.DATASET\.TABLE"):
        parse(text)


def test_service_that_is_not_reached_is_said(monkeypatch, gcs):
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:1")
    with pytest.raises(PathError, match="BigQuery cannot be reached"):
        bigquery_checks.existing_columns(TABLE)


def test_missing_credentials_are_said(monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(PathError, match="no valid Google Cloud credentials"):
        bigquery_checks.existing_columns(TABLE)


def test_project_of_the_environment_stays(monkeypatch):
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    tell_beam("other")
    assert __import__("os").environ["GOOGLE_CLOUD_PROJECT"] == "mine"

"""Tables in and out as a user runs it: main.py with Beam's own BigQuery connectors.

BigQuery is a stub of its REST API on loopback, Cloud Storage an emulator; both clients of BigQuery
(Beam's and Google's), the exported Avro files and the loaded JSON files are real.
"""

import json
import re

import numpy as np
import pytest

import main
from tests.support.bigquery_service import PROJECT
from tests.support.jobs import expected
from tests.support.pages import Page

COLUMNS = {"id": "STRING", "x": "FLOAT64[]", "city": "STRING", "unused": "JSON"}


def x_of(i):
    return [0.1 * i, 1.0, -2.0, 3.5]


def rows(count, **more):
    return [
        {"id": f"r{i}", "x": x_of(i), "city": "Oslo", "unused": "{}", **more} for i in range(count)
    ]


@pytest.fixture
def table_job(job, bigquery, bucket):
    """A batch job between tables, and what is given on its command line."""
    job.spec["pass_through"] = ["city"]
    bigquery.datasets.add("out")
    job.tables = {
        "input_table": f"{PROJECT}:in.rows",
        "output_table": f"{PROJECT}.out.predictions",
        "dead_letter_table": f"{PROJECT}.out.dead",
    }

    def run(**changed):
        given = {**job.tables, "temp_location": f"{bucket}/temp", **changed}
        spec = next(a for a in job.arguments() if "ensemble_spec" in a)
        return main.main([spec, *(f"--{name}={value}" for name, value in given.items() if value)])

    job.run_tables = run
    return job


def test_rows_of_a_table_become_rows_of_predictions(table_job, bigquery, capsys):
    bigquery.add_table("in", "rows", COLUMNS, rows(50))
    assert table_job.run_tables() == 0
    found = {row["id"]: row for row in bigquery.rows(table_job.tables["output_table"])}
    assert sorted(found) == sorted(f"r{i}" for i in range(50))
    for i in range(50):
        row = found[f"r{i}"]
        y = (expected(x_of(i), 1.0) + expected(x_of(i), 3.0)) / 2
        np.testing.assert_allclose(row["y"], y, rtol=1e-4)
        assert row["top"] == int(y.argmax())
        assert row["generation"] == 1
        assert {m["name"]: m["version"] for m in row["models"]} == {"linear": "1", "net": "2"}
        assert json.loads(row["pass_through"]) == {"city": "Oslo"}
    assert bigquery.rows(table_job.tables["dead_letter_table"]) == []
    assert f"50 predictions   {PROJECT}.out.predictions" in capsys.readouterr().out


def test_missing_tables_are_made_with_the_types_of_the_ensemble(table_job, bigquery):
    bigquery.add_table("in", "rows", COLUMNS, rows(1))
    assert table_job.run_tables() == 0
    assert bigquery.schema(table_job.tables["output_table"]) == {
        "id": "STRING",
        "top": "INTEGER",
        "y": "FLOAT[]",
        "pass_through": "STRING",
        "release_id": "STRING",
        "generation": "INTEGER",
        "models": "RECORD[]",
    }


BAD = {
    "null": ({"age": None}, "wrong_type", "field 'age': found null, expected float32"),
    "short": ({"x": [1.0]}, "wrong_shape", "found 1 value, expected float32[4]"),
    "nan": ({"x": [1.0, 2.0, 3.0, float("nan")]}, "wrong_type", "the text 'NaN'"),
    "far": ({"x": [1.0, 2.0, 3.0, 1e39]}, "not_finite", "1e+39"),
}


def test_bad_rows_go_to_the_dead_letter_table_and_all_others_are_predicted(table_job, bigquery):
    table_job.spec["record"]["fields"]["age"] = {"dtype": "float32"}
    table = rows(40, age=1.5)
    good = table[0]
    for position, (key, (change, _, _)) in enumerate(BAD.items()):
        table.insert(7 * position, {**good, "id": key, **change})
    bigquery.add_table("in", "rows", {**COLUMNS, "age": "FLOAT64"}, table)
    assert table_job.run_tables() == 0
    assert len(bigquery.rows(table_job.tables["output_table"])) == 40
    letters = {row["id"]: row for row in bigquery.rows(table_job.tables["dead_letter_table"])}
    assert set(letters) == set(BAD)
    for key, (_, kind, says) in BAD.items():
        assert (letters[key]["stage"], letters[key]["error_type"]) == ("decode", kind)
        assert says in letters[key]["error_message"]
        assert json.loads(letters[key]["payload"])["city"] == "Oslo"


QUERY = "SELECT id, x FROM rows WHERE city = 'Oslo'"


def query_result(count):
    fields = [{"name": "id", "type": "INTEGER"}, {"name": "x", "type": "FLOAT", "mode": "REPEATED"}]
    return fields, [{"id": i, "x": x_of(i)} for i in range(count)]


def test_result_of_a_query_is_read_and_nothing_of_it_is_left(table_job, bigquery, bucket, gcs):
    bigquery.queries[QUERY] = query_result(20)
    del table_job.spec["pass_through"]
    table_job.spec["record"]["id"] = "id"
    assert table_job.run_tables(input_table="", input_query=QUERY, project=PROJECT) == 0
    found = bigquery.rows(table_job.tables["output_table"])
    assert sorted(row["id"] for row in found) == sorted(str(i) for i in range(20))
    assert bigquery.datasets == {"out"}
    assert [uri for uri in gcs.list(bucket) if "bigquery-table-dump" in uri] == []


def test_table_goes_to_files_and_files_to_a_table(table_job, bigquery):
    """A table on one side only; the rest is as without tables."""
    bigquery.add_table("in", "rows", COLUMNS, rows(10))
    prefix = f"{table_job.folder}/out/p"
    assert table_job.run_tables(output_table="", dead_letter_table="", output_path=prefix) == 0
    assert len(table_job.predictions()) == 10
    table_job.write_input(*rows(5), b"not json")
    pattern = f"{table_job.folder}/in/*"
    assert table_job.run_tables(input_table="", input_file_pattern=pattern) == 0
    assert len(bigquery.rows(table_job.tables["output_table"])) == 5
    (letter,) = bigquery.rows(table_job.tables["dead_letter_table"])
    assert (letter["payload"], letter["error_type"]) == ("not json", "not_json")


def test_second_run_appends(table_job, bigquery):
    bigquery.add_table("in", "rows", COLUMNS, rows(3))
    assert table_job.run_tables() == 0
    assert table_job.run_tables() == 0
    assert len(bigquery.rows(table_job.tables["output_table"])) == 6


def refusal(job, capsys, **changed):
    assert job.run_tables(**changed) == 2
    return capsys.readouterr().err


def test_everything_wrong_with_tables_is_said_at_launch_by_parameter(table_job, bigquery, capsys):
    said = refusal(
        table_job,
        capsys,
        output_table=f"{PROJECT}.nowhere.predictions",
        input_table=f"{PROJECT}.in.nothing",
    )
    assert f"--input_table: table '{PROJECT}.in.nothing' does not exist" in said
    assert f"--output_table: dataset '{PROJECT}.nowhere' does not exist" in said
    assert "--dead_letter_table" not in said


def test_input_columns_that_do_not_fit_the_record_are_refused_before_models_load(
    table_job, bigquery, capsys
):
    table_job.spec["models"][0]["uri"] = "/nowhere"
    bigquery.add_table("in", "rows", {"key": "STRING", "x": "STRING[]"})
    said = refusal(table_job, capsys)
    table = f"--input_table: table '{PROJECT}.in.rows':"
    assert f"{table} column 'id' is missing; the columns are key, x" in said
    assert f"{table} column 'x' is REPEATED STRING, but the field is float32[4]" in said
    assert "/nowhere" not in said


def test_existing_output_table_that_does_not_fit_is_refused(table_job, bigquery, capsys):
    bigquery.add_table("in", "rows", COLUMNS, rows(1))
    table = bigquery.add_table("out", "predictions", {"id": "STRING", "y": "FLOAT64"})
    said = refusal(table_job, capsys)
    assert f"--output_table: table '{table}': column 'y' is FLOAT64, expected REPEATED" in said
    assert f"--output_table: table '{table}': column 'top' is missing, expected INT64" in said
    assert bigquery.rows(table) == []


def test_wrong_query_is_refused_with_the_words_of_bigquery(table_job, bigquery, capsys):
    said = refusal(table_job, capsys, input_table="", input_query="SELEKT 1", project=PROJECT)
    assert "--input_query:" in said
    assert "Syntax error in 'SELEKT 1'" in said


@pytest.mark.parametrize(
    ("forbidden", "says"),
    [
        ("GET .*tables/rows", "--input_table: .*the role roles/bigquery.dataViewer"),
        ("POST .*datasets/out/tables", "--output_table: .*the role roles/bigquery.dataEditor"),
        ("POST .*jobs", "--input_table: .*project .*the role roles/bigquery.jobUser"),
    ],
)
def test_missing_permission_is_said_with_the_role(table_job, bigquery, capsys, forbidden, says):
    bigquery.add_table("in", "rows", COLUMNS, rows(1))
    bigquery.forbidden.append(forbidden)
    assert re.search(says, refusal(table_job, capsys))


def test_permission_that_is_not_granted_is_said_with_the_role(table_job, bigquery, capsys):
    bigquery.add_table("in", "rows", COLUMNS, rows(1))
    bigquery.denied.add("bigquery.tables.export")
    assert re.search("--input_table: .*roles/bigquery.dataViewer", refusal(table_job, capsys))


def test_images_are_read_from_a_column_and_not_as_files(table_job, bigquery, capsys):
    table_job.spec["record"] = {"source": "image", "fields": {"x": {"dtype": "bytes"}}}
    del table_job.spec["pass_through"]
    assert "--input_table: `source: image` in the ensemble" in refusal(table_job, capsys)


def test_view_cannot_be_exported_so_a_query_is_proposed(table_job, bigquery, capsys):
    bigquery.add_table("in", "rows", COLUMNS, kind="VIEW")
    said = refusal(table_job, capsys)
    assert "is a view, which cannot be exported; give --input_query='SELECT * FROM" in said


def test_dry_run_looks_at_no_table_and_makes_none(table_job, bigquery):
    assert table_job.run_tables(dry_run="true") == 0
    assert bigquery.requests == []


def test_stream_inserts_rows_and_a_refused_one_is_a_dead_letter(table_job, bigquery):
    table_job.write_input(*rows(10), b"not json")
    bigquery.refusing.add(("predictions", "r3"))
    status = table_job.run_tables(
        input_table="",
        temp_location="",
        input_file_pattern=f"{table_job.folder}/in/*",
        streaming="true",
        stop_after_records="11",
    )
    assert status == 0
    found = bigquery.rows(table_job.tables["output_table"])
    assert sorted(row["id"] for row in found) == sorted(f"r{i}" for i in range(10) if i != 3)
    letters = bigquery.rows(table_job.tables["dead_letter_table"])
    assert sorted((row["id"], row["stage"], row["error_type"]) for row in letters if row["id"]) == [
        ("r3", "write", "not_inserted")
    ]
    (other,) = [row for row in letters if row["id"] is None]
    assert other["error_type"] == "not_json"


def test_refused_row_of_a_stream_is_a_dead_letter_in_files_and_figures(table_job, bigquery, capsys):
    table_job.write_input(*rows(3))
    report = table_job.folder / "report.html"
    bigquery.refusing.add(("predictions", "r1"))
    status = table_job.run_tables(
        input_table="",
        temp_location="",
        dead_letter_table="",
        dead_letter_path=f"{table_job.folder}/dead/d",
        report_path=report,
        input_file_pattern=f"{table_job.folder}/in/*",
        streaming="true",
        stop_after_records="3",
    )
    assert status == 0
    (file,) = (table_job.folder / "dead").glob("d-*.jsonl")
    letter = json.loads(file.read_text())
    assert (letter["id"], letter["stage"]) == ("r1", "write")
    assert "refused by the test" in letter["error_message"]
    (row, _) = bigquery.rows(table_job.tables["output_table"])
    assert letter["release"] == {
        "id": row["release_id"],
        "generation": 1,
        "models": {"linear": "1", "net": "2"},
    }
    shown = capsys.readouterr().out
    assert "3 records: 2 predictions, 1 dead letters" in shown
    assert "2 by generation 1" in shown
    page = Page(report.read_text())
    assert (page.facts["Records"], page.facts["Predictions"]) == ("3", "2")
    (served,) = page.tables["Releases that served"]
    assert served[3:5] == ["2", "1"]

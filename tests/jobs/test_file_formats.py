"""Files of every format through main.py, in and out, with real models."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.formats.registry import FORMATS
from tests.support import formats
from tests.support.jobs import expected, record

RECORD = {"x": "float32"}


def rows(n, first=0):
    values = np.random.default_rng(first).normal(size=(n, 4)).astype("float32").tolist()
    return [{**record(first + i, x), "tag": f"t{i}"} for i, x in enumerate(values)]


def refused(job, capsys, *more):
    assert job.run(*more) == 2
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    return shown[shown.index("Not started") :]


def check(job, given):
    found = {line["id"]: line for line in job.predictions()}
    assert sorted(found) == sorted(row["id"] for row in given)
    for row in given:
        y = (expected(row["x"], 1.0) + expected(row["x"], 3.0)) / 2
        np.testing.assert_allclose(found[row["id"]]["predictions"]["y"], y, rtol=1e-4)


@pytest.mark.parametrize("format", FORMATS)
def test_records_of_every_format_are_predicted(job, format):
    job.spec["pass_through"] = ["tag"]
    given = rows(40)
    formats.write(job.input, format, given)
    assert job.run("--max_batch_size=16") == 0
    check(job, given)
    assert job.dead_letters() == []
    passed = {line["id"]: line["pass_through"] for line in job.predictions()}
    assert passed == {row["id"]: {"tag": row["tag"]} for row in given}


@pytest.mark.parametrize("indent", [None, 2])
def test_records_in_one_json_array_are_predicted(job, indent):
    given = rows(40)
    (job.input / "a.json").write_text(json.dumps(given, indent=indent))
    assert job.run("--max_batch_size=16") == 0
    check(job, given)
    assert job.dead_letters() == []


def test_files_of_several_formats_are_read_together(job):
    given = []
    for number, format in enumerate(FORMATS):
        part = rows(10, 100 * number)
        formats.write(job.input, format, part, name=format)
        given += part
    formats.gzipped(formats.write(job.input, "csv", rows(5, 900), name="packed")).rename(
        job.input / "packed.csv.gz"
    )
    (job.input / "packed.csv").unlink()
    assert job.run() == 0
    check(job, given + rows(5, 900))


def test_format_may_be_named_where_the_extension_does_not(job):
    (job.input / "data.txt").write_bytes(formats.as_bytes("csv", rows(10)))
    assert job.run("--input_format=csv") == 0
    check(job, rows(10))


@pytest.mark.parametrize("format", FORMATS)
def test_bad_records_of_every_format_become_dead_letters(job, format, capsys):
    given = rows(30)
    given[11]["x"] = [1.0, 2.0]
    formats.write(job.input, format, given)
    assert job.run() == 0
    check(job, given[:11] + given[12:])
    (letter,) = job.dead_letters()
    assert (letter["id"], letter["stage"], letter["error_type"]) == ("r11", "decode", "wrong_shape")
    assert "decode: wrong_shape" in capsys.readouterr().out


def test_file_that_is_not_parquet_costs_itself_only(job):
    formats.write(job.input, "parquet", rows(10))
    (job.input / "z.parquet").write_bytes(b"PAR1 or not")
    assert job.run() == 0
    check(job, rows(10))
    (letter,) = job.dead_letters()
    assert (letter["stage"], letter["error_type"]) == ("read", "unreadable")
    assert "z.parquet: is not a Parquet file" in letter["error_message"]


@pytest.mark.parametrize("format", ["csv", "parquet", "avro"])
def test_first_file_without_a_declared_column_is_refused(job, format, capsys):
    given = [{"id": row["id"], "y": row["x"]} for row in rows(3)]
    path = formats.write(job.input, format, given)
    shown = refused(job, capsys)
    assert f"--input_file_pattern: {path}: " in shown
    assert "no column 'x'" in shown
    assert "id, y" in shown


@pytest.mark.parametrize("format", ["parquet", "avro"])
def test_first_file_with_a_column_of_another_type_is_refused(job, format, capsys):
    given = [{**row, "x": "text"} for row in rows(3)]
    formats.write(job.input, format, given)
    assert "column 'x' is string, expected float32[4]" in refused(job, capsys)


def test_first_file_that_is_no_parquet_file_is_refused(job, capsys):
    (job.input / "a.parquet").write_bytes(b"id,x\n")
    assert "a.parquet: is not a Parquet file" in refused(job, capsys)


def parquet_output(job):
    return pq.read_table(sorted(job.folder.glob("out/p-0*.parquet"))[0])


def test_predictions_are_written_as_parquet(job, capsys):
    job.spec["pass_through"] = ["tag"]
    given = rows(40)
    given[3]["x"] = [1.0]
    formats.write(job.input, "parquet", given)
    assert job.run("--output_format=parquet", "--max_batch_size=16") == 0
    table = parquet_output(job)
    assert table.schema.names == [
        *("id", "top", "y", "pass_through", "release_id", "generation", "models")
    ]
    assert table.schema.field("y").type == pa.list_(pa.float64())
    found = {row["id"]: row for row in table.to_pylist()}
    assert len(found) == 39
    for row in given[:3] + given[4:]:
        y = (expected(row["x"], 1.0) + expected(row["x"], 3.0)) / 2
        np.testing.assert_allclose(found[row["id"]]["y"], y, rtol=1e-4)
        assert found[row["id"]]["top"] == int(y.argmax())
        assert found[row["id"]]["pass_through"] == f'{{"tag":"{row["tag"]}"}}'
    assert found["r0"]["models"] == {"linear": "1", "net": "2"}
    assert found["r0"]["generation"] == 1
    assert [letter["id"] for letter in job.dead_letters()] == ["r3"]
    shown = capsys.readouterr().out
    assert "out/p-*.parquet" in shown
    assert "out/p-dead-letters-*.jsonl" in shown


def test_earlier_parquet_output_is_found(job, capsys):
    formats.write(job.input, "csv", rows(3))
    assert job.run("--output_format=parquet") == 0
    assert "found 1 files of an earlier run" in refused(job, capsys, "--output_format=parquet")
    assert job.run("--output_format=parquet", "--overwrite=true") == 0
    assert parquet_output(job).num_rows == 3


def test_predictions_are_written_as_csv(job, capsys):
    job.spec["pass_through"] = ["tag"]
    given = rows(40)
    given[3]["x"] = [1.0]
    formats.write(job.input, "parquet", given[:20], name="a")
    formats.write(job.input, "csv", given[20:], name="b")
    assert job.run("--output_format=csv") == 0
    (path,) = job.folder.glob("out/p-0*.csv")
    table = pd.read_csv(path)
    assert list(table.columns) == [
        *("id", "top", "y_0", "y_1", "y_2", "tag", "release_id", "generation", "models")
    ]
    table = table.set_index("id")
    assert len(table) == 39
    for row in given[:3] + given[4:]:
        y = (expected(row["x"], 1.0) + expected(row["x"], 3.0)) / 2
        found = table.loc[row["id"]]
        np.testing.assert_allclose(found[["y_0", "y_1", "y_2"]].tolist(), y, rtol=1e-4)
        assert (found["top"], found["tag"]) == (int(y.argmax()), row["tag"])
        assert found["models"] == '{"linear":"1","net":"2"}'
    assert [letter["id"] for letter in job.dead_letters()] == ["r3"]
    shown = capsys.readouterr().out
    assert "out/p-*.csv" in shown
    assert "out/p-dead-letters-*.jsonl" in shown
    assert "found 1 files of an earlier run" in refused(job, capsys)


def test_csv_columns_of_one_name_are_refused(job, capsys):
    job.spec["pass_through"] = ["id", "y_1"]
    formats.write(job.input, "jsonl", rows(2))
    shown = refused(job, capsys, "--output_format=csv")
    assert "--output_format=csv: a CSV file would have two columns 'id', the record's id" in shown
    assert "'y_1', value 1 of output column 'y' and 'y_1' of `pass_through`" in shown
    assert not list(job.folder.glob("out/*"))


def test_output_column_that_parquet_needs_itself_is_refused(job, capsys):
    job.write_input(record(0))
    job.spec["combine"].append({"column": "generation", "op": "argmax", "of": "y"})
    job.spec["output"] = ["generation"]
    assert "output column 'generation' needs another name" in refused(
        job, capsys, "--output_format=parquet"
    )


def test_formats_that_a_job_cannot_have_are_refused(job, capsys):
    job.write_input(record(0))
    for form in ("csv", "parquet"):
        shown = refused(job, capsys, f"--output_format={form}", "--streaming=true")
        assert f"--output_format={form} needs a batch job" in shown


@pytest.mark.parametrize("format", ["csv", "parquet", "tfrecord", "avro"])
def test_stream_reads_files_of_every_format(job, format):
    formats.write(job.input, format, rows(20))
    assert job.run("--streaming=true", "--stop_after_records=20") == 0
    found = [line for line in job.lines("out/p-2*.jsonl") if "predictions" in line]
    assert sorted(line["id"] for line in found) == sorted(f"r{i}" for i in range(20))

"""Tables whose logs are not read are no input, whatever their partitions are called."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.connectors.files import delta_tables, input_checks, unread_tables
from pipeline.spec.record import RecordSpec

HUDI = "b5068208-e1a4-11e6-bf01-fe55135034f3-0_0-21-24_20240101120000123.parquet"
PAIMON = "data-59f60cb9-44af-48cc-b5ad-59e85c663c8f-0.parquet"
TABLES = [
    ("Hudi", HUDI, ".hoodie/hoodie.properties"),
    ("Hudi", HUDI.replace("123.", "."), ".hoodie/hoodie.properties"),
    ("Hudi", f"2016/03/15/{HUDI}", ".hoodie/hoodie.properties"),
    ("Hudi", f"day=1/{HUDI}", ".hoodie/hoodie.properties"),
    ("Paimon", f"bucket-0/{PAIMON}", "schema/schema-0"),
    ("Paimon", f"day=1/bucket-12/{PAIMON}", "schema/schema-0"),
]


@pytest.mark.parametrize(("kind", "file", "mark"), TABLES)
def test_table_is_refused_at_launch_with_a_way_out(folder, put, kind, file, mark):
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": [1.0]}), buffer)
    put(f"t/{file}", buffer.getvalue().to_pybytes())
    record = RecordSpec.model_validate({"fields": {"x": {"dtype": "float32"}}})
    pattern = f"{folder}/t/**"
    assert list(input_checks.problems(pattern, "auto", record)) == [], "a copy of its files"
    put(f"t/{mark}", b"")
    (problem,) = input_checks.problems(f"{folder}/t/**.parquet", "auto", record)
    assert problem.startswith(f"{folder}/t is a {kind} table, and which of its 1 files")
    assert "a folder of their own" in problem


def test_table_of_relative_paths_is_seen(tmp_path, monkeypatch):
    (tmp_path / ".hoodie").mkdir()
    (tmp_path / ".hoodie/hoodie.properties").touch()
    monkeypatch.chdir(tmp_path)
    assert len(list(unread_tables.problems([HUDI, f"2016/03/{HUDI}"]))) == 1


def test_each_table_is_told_once_and_costs_a_look(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name / ".hoodie").mkdir(parents=True)
        (tmp_path / name / ".hoodie/hoodie.properties").touch()
    looks = []
    exists = unread_tables.paths.exists
    monkeypatch.setattr(unread_tables.paths, "exists", lambda p: looks.append(p) or exists(p))
    files = [f"{tmp_path}/{name}/{day}/{HUDI}" for name in ("a", "b") for day in range(50)]
    first, second = unread_tables.problems(files)
    assert "a is a Hudi table, and which of its 50 files" in first
    assert "b is a Hudi table, and which of its 50 files" in second
    assert len(looks) == 4


@pytest.mark.parametrize("kind", [unread_tables, delta_tables])
def test_folders_of_a_bucket_that_are_not_looked_at_are_said(gcs, monkeypatch, caplog, kind):
    monkeypatch.setattr(kind, "MOST_LOOKS", 2)
    bucket = gcs.new_bucket()
    assert list(kind.problems([f"{bucket}/{i}/{HUDI}" for i in range(4)])) == []
    (said,) = caplog.messages
    assert " of 4 folders of input files were looked at" in said

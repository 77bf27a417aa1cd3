"""The files of an Iceberg table's older snapshots are no input, whatever a pattern matches."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.connectors.files import iceberg_tables, input_checks
from pipeline.spec.record import RecordSpec


def snapshot(number, operation="append", **totals):
    summary = {"operation": operation, **{key: str(value) for key, value in totals.items()}}
    return {"snapshot-id": number, "summary": summary}


def files(count):
    return {"total-data-files": count, "total-delete-files": 0}


def described(table, snapshots, name="v2.metadata.json"):
    (table / "metadata").mkdir(exist_ok=True)
    newest = snapshots[-1]["snapshot-id"] if snapshots else -1
    content = {"current-snapshot-id": newest, "snapshots": snapshots}
    text = json.dumps(content).encode()
    (table / "metadata" / name).write_bytes(gzip.compress(text) if "gz" in name else text)


def told(table, count=2):
    return list(iceberg_tables.problems([f"{table}/data/k=1/{i}.parquet" for i in range(count)]))


@pytest.mark.parametrize(
    "snapshots",
    [
        [snapshot(7, **files(1)), snapshot(8, **files(2))],
        [snapshot(8, "overwrite", **files(2))],  # what it replaced is gone
        [snapshot(8, "replace", **files(3)), snapshot(9, **files(4))],
        [snapshot(8)],
    ],
)
def test_table_that_has_all_its_files_is_read(tmp_path, snapshots):
    described(tmp_path, snapshots)
    assert told(tmp_path) == []


@pytest.mark.parametrize(
    ("snapshots", "reason"),
    [
        ([snapshot(7, **files(1)), snapshot(8, "delete", **files(1))], "has 1"),
        ([snapshot(7, **files(2)), snapshot(8, "replace", **files(2))], "of older snapshots"),
        ([snapshot(8, **files(2) | {"total-delete-files": 1})], "marks as deleted"),
        ([], "2 of its files match, where its newest snapshot has 0"),
    ],
)
def test_table_of_which_older_files_are_there_is_refused(tmp_path, snapshots, reason):
    described(tmp_path, snapshots)
    (problem,) = told(tmp_path)
    assert f"{tmp_path} is an Iceberg table, and " in problem
    assert reason in problem


@pytest.mark.parametrize("form", ["v{}.metadata.json", "{:05}-ab-1.metadata.json"])
@pytest.mark.parametrize("packed", [".gz.metadata.json", ".metadata.json.gz", ".metadata.json"])
def test_newest_metadata_counts(tmp_path, form, packed):
    for version in (2, 9, 10):
        name = form.format(version).replace(".metadata.json", packed)
        described(tmp_path, [snapshot(1, **files(2 if version == 10 else 1))], name)
    assert told(tmp_path) == []


def test_metadata_that_cannot_be_read_is_told(tmp_path):
    described(tmp_path, [])
    (tmp_path / "metadata" / "v3.metadata.json").write_text("{")
    assert "cannot be read" in told(tmp_path)[0]
    (tmp_path / "metadata" / "v3.metadata.json").unlink()
    (tmp_path / "metadata" / "v2.metadata.json").rename(tmp_path / "metadata/last.metadata.json")
    assert "cannot be read: ValueError: no number" in told(tmp_path)[0]


def test_folder_of_data_is_no_table_by_its_name(tmp_path, monkeypatch):
    assert told(tmp_path) == []
    assert list(iceberg_tables.problems([f"{tmp_path}/a.parquet"])) == []
    monkeypatch.chdir(tmp_path)
    assert list(iceberg_tables.problems(["data/a.parquet"])) == []
    described(tmp_path, [])
    assert len(list(iceberg_tables.problems(["data/a.parquet"]))) == 1


def test_launch_tells_it(tmp_path):
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "data" / "a.parquet")
    record = RecordSpec.model_validate({"fields": {"x": {"dtype": "float32"}}})
    pattern = f"{tmp_path}/data/*"
    assert list(input_checks.problems(pattern, "auto", record)) == []
    described(tmp_path, [snapshot(1, **files(0))])
    assert "is an Iceberg table" in next(input_checks.problems(pattern, "auto", record))

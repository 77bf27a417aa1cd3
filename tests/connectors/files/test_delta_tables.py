"""The files of a Delta table's older versions are no input, whatever a pattern matches."""

import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.connectors.files import delta_tables, input_checks
from pipeline.spec.record import RecordSpec

NAMES = ["a.parquet", "day=1/b.parquet", "day=2024-01-01 10%3A00/c d.parquet"]
VECTOR = {"storageType": "u", "pathOrInlineDv": "x", "offset": 1, "sizeInBytes": 1}
VECTOR_TYPE = pa.struct({"storageType": pa.string(), "pathOrInlineDv": pa.string()})
ACTIONS = pa.struct({"path": pa.string(), "deletionVector": VECTOR_TYPE})


def written(name):
    return name.replace("%", "%25").replace(" ", "%20")


def add(name, vector=None):
    return {"add": {"path": written(name), **({"deletionVector": vector} if vector else {})}}


def remove(name):
    return {"remove": {"path": written(name)}}


def commit(table, version, actions):
    log = Path(table) / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    lines = [{"commitInfo": {}}, *actions]
    (log / f"{version:020}.json").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (log / f".{version:020}.json.crc").touch()


def checkpoint(table, version, names, parts=1):
    """In so many files, as Spark writes that of a large table."""
    for part in range(parts):
        rows = [add(name)["add"] for name in names[part::parts]]
        place = f".{part + 1:010}.{parts:010}" if parts > 1 else ""
        path = f"{table}/_delta_log/{version:020}.checkpoint{place}.parquet"
        columns = {"add": pa.array([None, *rows], ACTIONS)} if rows else {"txn": pa.nulls(1)}
        pq.write_table(pa.table(columns), path)


def told(table, names=NAMES):
    return list(delta_tables.problems([f"{table}/{name}" for name in names]))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sets(st.sampled_from(NAMES)), min_size=1, max_size=5),
    st.integers(0, 5),
    st.integers(1, 3),
)
def test_files_that_the_newest_version_has_are_read_and_others_refused(versions, at, parts):
    """`versions` holds the files of each; the log before a checkpoint is gone, as after a month."""
    with tempfile.TemporaryDirectory() as table:
        before = set()
        for version, names in enumerate(versions):
            # In either order: a file may be taken out and put in again by one commit.
            actions = [*map(add, sorted(names)), *map(remove, sorted(before - names))]
            commit(table, version, actions[:: 1 if version % 2 else -1])
            before = names
        if at < len(versions):
            checkpoint(table, at, sorted(versions[at]), parts)
            for version in range(at):
                (Path(table) / f"_delta_log/{version:020}.json").unlink()
        for name in NAMES:
            assert bool(told(table, [name])) == (name not in versions[-1])
        missing = sorted(set(NAMES) - versions[-1])
        if missing:
            (problem,) = told(table)
            assert f"{len(missing)} of its 3 files" in problem


def test_rows_that_are_marked_as_deleted_are_told(tmp_path):
    commit(tmp_path, 0, [add("a.parquet")])
    commit(tmp_path, 1, [remove("a.parquet"), add("a.parquet", VECTOR)])
    (problem,) = told(tmp_path, ["a.parquet"])
    assert "1 of its 1 files that match hold rows that it marks as deleted" in problem


def test_log_that_does_not_say_it_all_is_told(tmp_path):
    commit(tmp_path, 1, [add("a.parquet")])
    assert "cannot be followed" in told(tmp_path, ["a.parquet"])[0]
    (tmp_path / f"_delta_log/{1:020}.json").write_text("{")
    commit(tmp_path, 0, [])
    assert "cannot be read" in told(tmp_path, ["a.parquet"])[0]


def test_checkpoint_of_which_a_part_is_missing_is_none(tmp_path):
    commit(tmp_path, 0, [add("a.parquet")])
    checkpoint(tmp_path, 0, ["a.parquet", "b.parquet"], parts=2)
    (tmp_path / f"_delta_log/{0:020}.checkpoint.{1:010}.{2:010}.parquet").unlink()
    assert told(tmp_path, ["a.parquet"]) == []


def test_checkpoint_that_has_its_files_elsewhere_is_told(tmp_path):
    commit(tmp_path, 0, [add("a.parquet")])
    path = tmp_path / f"_delta_log/{0:020}.checkpoint.parquet"
    pq.write_table(pa.table({"add": pa.nulls(1), "sidecar": [{"path": "x"}]}), path)
    assert "cannot be read: ValueError: its checkpoint has sidecar" in told(tmp_path)[0]


def test_folder_without_a_log_is_no_table(tmp_path, monkeypatch):
    assert told(tmp_path) == []
    monkeypatch.chdir(tmp_path)
    assert list(delta_tables.problems(NAMES)) == []


@pytest.mark.parametrize("pattern", ["*", "*.parquet", "a.parquet", "**"])
def test_table_is_seen_whatever_the_pattern(tmp_path, monkeypatch, pattern):
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "a.parquet")
    commit(tmp_path, 0, [add("a.parquet")])
    commit(tmp_path, 1, [remove("a.parquet")])
    record = RecordSpec.model_validate({"fields": {"x": {"dtype": "float32"}}})
    monkeypatch.chdir(tmp_path.parent)
    for place in (str(tmp_path), tmp_path.name):
        (problem,) = input_checks.problems(f"{place}/{pattern}", "auto", record)
        assert f"{place} is a Delta table" in problem


def test_table_in_a_bucket(gcs):
    bucket = gcs.new_bucket()
    line = json.dumps(add("a.parquet")).encode()
    gcs.upload(f"{bucket}/t/_delta_log/{0:020}.json", line)
    assert told(f"{bucket}/t", ["a.parquet"]) == []
    assert "such as b.parquet" in told(f"{bucket}/t", ["a.parquet", "b.parquet"])[0]

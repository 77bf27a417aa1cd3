"""Values in the folders of files' paths, as Hive and Spark write them: `day=2024-01-01/`."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from pipeline.batch.block import Block
from pipeline.batch.columns import presence_of, values_of
from pipeline.batch.payloads import as_json
from pipeline.connectors.files import input_checks
from pipeline.connectors.files.ranges import FileRange
from pipeline.connectors.files.read import read_range
from pipeline.connectors.storage import paths
from pipeline.formats.format import Reading
from pipeline.formats.partitions import values_in
from pipeline.formats.registry import FORMATS, decoders, format_of
from pipeline.spec.record import RecordSpec
from tests.support import formats

ROWS = [{"id": f"r{i}", "x": i + 0.5} for i in range(3)]
FIELDS = {
    "x": {"dtype": "float32"},
    "year": {"dtype": "int64"},
    "country": {"dtype": "string"},
}


def record(id="id", **fields):
    return RecordSpec.model_validate({"id": id, "fields": {**FIELDS, **fields}})


def folder(root, *names):
    made = root.joinpath(*names)
    made.mkdir(parents=True)
    return made


def batches(pattern, spec, pass_through=()):
    """What each file that matches becomes."""
    reading = Reading(keys=spec.outer_keys(pass_through), record=spec)
    for file in paths.match_input(str(pattern)):
        part = FileRange(file.path, 0, file.size_in_bytes, format_of(file.path).name)
        for block in read_range(part, reading):
            assert block.error is None
            yield decoders(spec, pass_through)[block.format].decode(block)


@pytest.mark.parametrize("format", FORMATS)
def test_folders_give_what_files_have_not(tmp_path, format):
    formats.write(folder(tmp_path, "year=2024", "country=C%C3%B4te%20d%27Ivoire"), format, ROWS)
    spec, pass_through = record(), ("country", "hour", "year")
    pattern = tmp_path / "*" / "*" / "*"
    assert list(input_checks.problems(str(pattern), "auto", spec, pass_through)) == []
    (batch,) = batches(pattern, spec, pass_through)
    assert not batch.rejects
    assert batch.columns["x"].tolist() == [0.5, 1.5, 2.5]
    assert batch.columns["year"].tolist() == [2024] * 3
    assert batch.columns["country"].tolist() == ["Côte d'Ivoire"] * 3
    repeated = {"country": "Côte d'Ivoire", "hour": None, "year": 2024}
    assert [*map(json.loads, batch.pass_through)] == [repeated] * 3


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("year", ["x", "5"])
def test_what_a_file_has_itself_wins(tmp_path, format, year):
    rows = [row | {"year": 1999} for row in ROWS]
    path = formats.write(folder(tmp_path, f"year={year}", "country=DE"), format, rows)
    assert list(input_checks.problems(str(path), "auto", record())) == []
    (batch,) = batches(path, record())
    assert batch.columns["year"].tolist() == [1999] * 3


@pytest.mark.parametrize("format", FORMATS)
def test_id_may_be_in_the_path_and_bad_rows_are_told_alone(tmp_path, format):
    rows = [row if i else row | {"x": float("inf")} for i, row in enumerate(ROWS)]
    path = formats.write(folder(tmp_path, "device=a%2Fb", "year=1", "country=DE"), format, rows)
    (batch,) = batches(path, record("device"))
    assert batch.ids == ("a/b", "a/b")
    (reject,) = batch.rejects
    assert (reject.record_id, reject.error_type) in [("a/b", "not_finite"), (None, "not_json")]


@pytest.mark.parametrize("format", FORMATS)
def test_value_that_is_none_of_its_field_is_refused_at_launch(tmp_path, format):
    path = formats.write(folder(tmp_path, "year=2024-01-01", "country=DE"), format, ROWS)
    problems = list(input_checks.problems(str(path), "auto", record()))
    assert len(problems) == 1
    assert "field 'year': found the text '2024-01-01', expected int64" in problems[0]
    (batch,) = batches(path, record())  # a file that comes later
    assert [reject.error_type for reject in batch.rejects] == ["wrong_type"] * 3


@pytest.mark.parametrize("format", FORMATS)
def test_default_partition_is_a_missing_value(tmp_path, format):
    path = formats.write(
        folder(tmp_path, "year=1", "country=__HIVE_DEFAULT_PARTITION__"), format, ROWS
    )
    (problem,) = input_checks.problems(str(path), "auto", record())
    assert "field 'country': found null" in problem
    kept = record(country={"dtype": "string", "missing": "keep"})
    assert list(input_checks.problems(str(path), "auto", kept)) == []
    (batch,) = batches(path, kept, ("country",))
    assert not presence_of(batch.columns["country"]).any()
    assert batch.pass_through == (b'{"country":null}',) * 3


@pytest.mark.parametrize("format", FORMATS)
def test_name_that_comes_twice_is_refused(tmp_path, format):
    path = formats.write(folder(tmp_path, "year=1", "year=2", "country=DE"), format, ROWS)
    (problem,) = input_checks.problems(str(path), "auto", record())
    assert "'year=' comes twice" in problem
    (batch,) = batches(path, record())
    assert {reject.error_type for reject in batch.rejects} == {"doubled_column"}
    assert len(batch.rejects) == 3


@pytest.mark.parametrize("format", FORMATS)
def test_name_that_comes_twice_costs_no_record_that_has_its_own(tmp_path, format):
    rows = [row | {"year": 1999, "hour": 3} for row in ROWS]
    made = folder(tmp_path, "year=1", "year=2", "hour=1", "hour=2", "country=DE")
    path = formats.write(made, format, rows)
    assert list(input_checks.problems(str(path), "auto", record(), ("hour",))) == []
    (batch,) = batches(path, record(), ("hour",))
    assert not batch.rejects
    assert batch.columns["year"].tolist() == [1999] * 3
    assert batch.columns["country"].tolist() == ["DE"] * 3
    assert batch.pass_through == (as_json({"hour": "3" if format == "csv" else 3}),) * 3


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("names", "kind", "says"),
    [
        (["hour=1", "hour=2"], "doubled_column", "'hour=' comes twice in the path"),
        (["hour=%FF"], "not_utf8", "'hour=%FF' in the path of the file"),
    ],
)
def test_key_that_predictions_repeat_and_the_path_leaves_unclear_is_refused(
    tmp_path, format, names, kind, says
):
    made = folder(tmp_path, "year=1", "country=DE", "%FF=1", *names)
    path = formats.write(made, format, ROWS * 50)  # enough to be read as a table
    assert list(input_checks.problems(str(path), "auto", record())) == []
    (problem,) = input_checks.problems(str(path), "auto", record(), ("hour",))
    assert says in problem
    rejects = [r for batch in batches(path, record(), ("hour",)) for r in batch.rejects]
    assert [reject.error_type for reject in rejects] == [kind] * 150


@pytest.mark.parametrize("format", FORMATS)
def test_field_and_id_whose_bytes_in_the_path_are_no_text_are_refused(tmp_path, format):
    path = formats.write(folder(tmp_path, "year=1", "country=C%F4te", "key=%80"), format, ROWS)
    country, key = input_checks.problems(str(path), "auto", record("key"))
    assert "'country=C%F4te' in the path of the file" in country
    assert "'key=%80' in the path of the file" in key
    (batch,) = batches(path, record("key"))
    assert {reject.error_type for reject in batch.rejects} == {"not_utf8"}


def test_column_that_neither_has_is_missing_as_ever(tmp_path):
    path = formats.write(folder(tmp_path, "year=1"), "parquet", ROWS)
    (problem,) = input_checks.problems(str(path), "auto", record())
    assert "has no column 'country'" in problem


def test_the_name_of_the_file_and_other_folders_say_nothing():
    spec = record()
    assert values_in("gs://b/run=7/year=1/country=2.csv", spec) == {"year": "1"}
    assert values_in("gs://b/=7/year/x.csv", spec) == {}


def test_table_that_pyarrow_wrote_in_parts(tmp_path):
    table = pa.table(
        {
            "id": ["a", "b", "c"],
            "x": [0.5, 1.5, 2.5],
            "year": [2023, 2024, 2024],
            "country": ["DE", None, "a/b=c"],
        }
    )
    parts = ds.partitioning(table.select(["year", "country"]).schema, flavor="hive")
    ds.write_dataset(table, tmp_path, format="parquet", partitioning=parts)
    spec = record(country={"dtype": "string", "missing": "keep"})
    pattern = tmp_path / "**" / "*.parquet"
    assert list(input_checks.problems(str(pattern), "auto", spec)) == []
    found = {}
    for batch in batches(pattern, spec):
        assert not batch.rejects
        there = presence_of(batch.columns["country"])
        countries = values_of(batch.columns["country"])
        for i, id in enumerate(batch.ids):
            country = countries[i] if there[i] else None
            found[id] = (batch.columns["x"][i], batch.columns["year"][i], country)
    assert found == {"a": (0.5, 2023, "DE"), "b": (1.5, 2024, None), "c": (2.5, 2024, "a/b=c")}


def test_header_of_csv_need_not_name_what_the_path_gives(tmp_path):
    """So a later part without a header is still told from one with it."""
    made = folder(tmp_path, "year=1", "country=DE")
    (made / "a.csv").write_text("id,x\nr0,1\n")
    (made / "b.csv").write_text("r1,2\nr2,3\n")
    first, second = batches(made / "*.csv", record())
    assert first.ids == ("r0",)
    assert [reject.error_type for reject in second.rejects] == ["no_header"] * 2


@pytest.mark.parametrize("format", FORMATS)
def test_columns_that_nobody_reads_stay_unread(tmp_path, format):
    rows = [row | {"other": 1} for row in ROWS]
    path = formats.write(folder(tmp_path, "year=1", "country=DE"), format, rows)
    spec = record()
    reading = Reading(keys=spec.outer_keys(), record=spec)
    part = FileRange(str(path), 0, Path(path).stat().st_size, format)
    (block,) = read_range(part, reading)
    if format == "parquet":
        assert block.payloads.table.schema.names == ["id", "x"]
    batch = decoders(spec)[format].decode(block)
    assert not batch.rejects


def test_messages_have_no_folders():
    block = Block((b'{"id": "a", "x": 1, "country": "DE"}',), "projects/p/subscriptions/year=1")
    (reject,) = decoders(record())["jsonl"].decode(block).rejects
    assert reject.error_type == "missing_field"

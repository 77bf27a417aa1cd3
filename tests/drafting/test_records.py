"""The record that is drafted from a file reads that file, or says what somebody has to write."""

import csv
import gzip
import json

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.drafting.draft import FILL_IN, GUESS
from pipeline.drafting.records import drafted
from pipeline.launch.first_records import first_records
from tests.drafting.drafts import by, model

NESTED = [
    {"user": {"id": f"u{i}", "address": {"zip": i, "city": "X"}}, "event": {"zip": i / 2}}
    for i in range(5)
]
AVRO = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "user", "type": {"type": "record", "name": "U", "fields": [
            {"name": "id", "type": "string"},
            {"name": "address", "type": ["null", {"type": "record", "name": "A", "fields": [
                {"name": "zip", "type": "int"},
                {"name": "city", "type": "string"},
            ]}]},
        ]}},
        {"name": "event", "type": {"type": "record", "name": "E", "fields": [
            {"name": "zip", "type": "double"},
        ]}},
    ],
}  # fmt: skip


def draft(path, *models):
    """What is drafted of a file, a folder or a pattern."""
    return drafted("e", list(models), first_records(str(path), 10_000))


def record(draft):
    return draft.as_data()["record"]


def write_csv(path, rows, encoding="utf-8", opened=open, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened(path, "wt", encoding=encoding, newline="") as file:
        csv.writer(file, **how).writerows(rows)
    return path


def write_nested(folder, format):
    path = folder / f"a.{format}"
    if format == "parquet":
        pq.write_table(pa.Table.from_pylist(NESTED), path)
    elif format == "avro":
        with path.open("wb") as file:
            fastavro.writer(file, AVRO, NESTED)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in NESTED))
    return path


@pytest.mark.parametrize("format", ["jsonl", "parquet", "avro"])
def test_values_inside_of_objects_are_fields_with_paths(tmp_path, format):
    table = model("m", {"x": ([2], ("user.address.zip", "event_zip"))})
    made = draft(write_nested(tmp_path, format), table)
    assert record(made) == {
        "id": {"path": ["user", "id"]},
        "fields": {
            "user_address_zip": {
                "dtype": "float64",
                "shape": [],
                "path": ["user", "address", "zip"],
            },
            "event_zip": {"dtype": "float64", "shape": [], "path": ["event", "zip"]},
        },
    }
    assert [str(key) for key in made.spare] == ["[user, address, city]"]
    assert made.record_notes == []


def test_value_inside_of_objects_is_called_as_nothing_else_is(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": {"age": 1, "zip": 2}, "zip": 3}\n')
    made = draft(tmp_path / "a.jsonl", model("m", {"age": [], "zip": []}))
    fields = record(made)["fields"]
    assert fields["age"]["path"] == ["a", "age"]
    assert "path" not in fields["zip"]


@pytest.mark.parametrize("format", ["csv", "parquet", "jsonl"])
def test_numbered_columns_are_the_vector_that_a_model_wants(tmp_path, format):
    rows = [{"label": i, **{f"pixel{k}": i * k for k in range(6)}} for i in range(4)]
    path = tmp_path / f"a.{format}"
    if format == "csv":
        write_csv(path, [rows[0], *(row.values() for row in rows)])
    elif format == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    made = draft(path, model("a", {"x": [6]}), model("b", {"image": [2, 3]}))
    assert by(made)["a", "x"] == "pixel"
    field = record(made)["fields"]["pixel"]
    assert field == {"dtype": "float32", "shape": [6], "columns": "pixel{0..5}"}
    assert made.record_notes == []
    alone = draft(path, model("b", {"image": [2, 3]}))
    assert record(alone)["fields"]["pixel"]["shape"] == [2, 3]
    assert made.spare == ("label",)


@pytest.mark.parametrize(
    ("names", "sample"),
    [
        (sorted(f"p{i}" for i in range(12)), "'p10' comes before 'p9'"),
        ([f"{x}x{y}" for y in (1, 2) for x in (1, 2, 3)], "'2x1' comes before '1x2'"),
    ],
)
def test_vector_that_has_its_columns_in_another_order_than_the_records_says_so(
    tmp_path, names, sample
):
    path = write_csv(tmp_path / "a.csv", [names, range(len(names))])
    (note,) = draft(path, model("m", {"x": [len(names)]})).record_notes
    assert note.startswith(GUESS)
    assert sample in note


def test_decimal_comma_is_named_where_it_is_guessed(tmp_path):
    path = write_csv(tmp_path / "a.tsv", [["a", "b"], ["0,5", "1,25"]], delimiter="\t")
    made = draft(path, model("m", {"a": [], "b": []}))
    assert made.csv.keys == {"delimiter": "\t", "decimal": ","}
    assert "a comma stands before fractions" in made.csv.note
    assert made.record_notes == []


def test_columns_that_a_model_names_are_a_vector_where_they_are_many(tmp_path):
    names = [f"V{i}" for i in range(1, 29)]
    path = write_csv(tmp_path / "a.csv", [["Amount", *names], [9.5, *range(28)]])
    made = draft(path, model("m", {"x": ([29], (*names, "Amount"))}))
    assert made.prepare[0].keys["of"] == ["V", "Amount"]
    assert record(made)["fields"]["V"]["columns"] == "V{1..28}"
    few = draft(path, model("m", {"x": ([3], ("V1", "V2", "Amount"))}))
    assert few.prepare[0].keys["of"] == ["V1", "V2", "Amount"]


def test_a_few_numbered_columns_that_a_model_names_are_fields(tmp_path):
    path = write_csv(tmp_path / "a.csv", [["x1", "x2", "y"], [1, 2, 3]])
    made = draft(path, model("m", {"x": ([2], ("x1", "x2"))}))
    assert list(made.fields) == ["x1", "x2"]


def test_column_of_a_vector_is_no_other_field(tmp_path):
    path = write_csv(tmp_path / "a.csv", [["x1", "x2", "x3", "amount"], [1, 2, 3, 4]])
    made = draft(path, model("a", {"x": [3]}), model("b", {"value": []}), model("c", {"n": []}))
    assert by(made) == {("a", "x"): "x", ("b", "value"): "amount", ("c", "n"): "amount"}
    pair = draft(path, model("a", {"x": [3]}), model("b", {"one": [], "two": []}))
    assert by(pair)["b", "two"] == "two"
    assert pair.models[1].bound["two"].note.startswith(FILL_IN)


def test_two_models_never_have_a_column_in_two_fields(tmp_path):
    names = [f"V{i}" for i in range(1, 10)]
    path = write_csv(tmp_path / "a.csv", [names, range(9)])
    named = model("n", {"x": ([2], ("V1", "V2"))})
    made = draft(path, named, model("m", {"x": [9]}, framework="xgboost"))
    assert by(made)["m", "x"] == names
    assert not any("columns" in field for field in record(made)["fields"].values())


def test_answer_is_left_out_where_only_then_the_columns_are_as_many(tmp_path):
    path = write_csv(tmp_path / "a.csv", [["a", "b", "Class"], [1, 2.5, 0]])
    made = draft(path, model("m", {"x": [2]}, framework="xgboost"))
    assert by(made)["m", "x"] == ["a", "b"]
    assert "beside Class" in made.models[0].bound["x"].note
    all_three = draft(path, model("m", {"x": [3]}, framework="xgboost"))
    assert by(all_three)["m", "x"] == ["a", "b", "Class"]


def test_way_in_which_a_csv_file_is_written_is_drafted(tmp_path):
    rows = [["Größe", "b"], ["0,5", "NA"], ["1,5", "7"], ["2,5", "8"]]
    path = write_csv(tmp_path / "a.csv", rows, "cp1252", delimiter=";")
    made = draft(path, model("m", {"x": ([2], ("Größe", "b"))}, framework="xgboost"))
    assert record(made)["csv"] == {
        "delimiter": ";",
        "decimal": ",",
        "encoding": "cp1252",
        "missing": ["NA"],
    }
    assert made.fields["b"].keeps_missing
    assert made.csv.note.startswith(GUESS)
    assert made.record_notes == []


def test_columns_without_names_get_names(tmp_path):
    rows = [[i, i / 2, i % 2] for i in range(9)]
    path = write_csv(tmp_path / "a.csv.gz", rows, opened=gzip.open)
    made = draft(path, model("m", {"x": [3]}))
    assert record(made)["csv"] == {"header": ["column_1", "column_2", "column_3"]}
    assert record(made)["fields"] == {
        "column": {"dtype": "float32", "shape": [3], "columns": "column_{1..3}"}
    }
    assert made.record_notes == []


def test_cells_of_which_some_look_like_numbers_are_text(tmp_path):
    path = write_csv(tmp_path / "a.csv", [["code", "x"], ["1E7", 1], ["00M", 2], ["5G5", 3]])
    made = draft(path, model("m", {"X": [2]}, framework="sklearn"))
    assert made.fields["code"].dtype == "string"
    assert made.record_notes == []


def test_column_without_a_name_is_a_key_and_several_of_one_name_are_none(tmp_path):
    path = write_csv(tmp_path / "a.csv", [["", "a", "b", "b"], [1, 2, 3, 4]])
    made = draft(path, model("m", {"a": []}))
    assert (list(made.fields), made.spare) == (["a"], ("",))
    assert made.record_notes == []


def test_folders_with_a_key_in_their_name_have_values(tmp_path):
    for day, year in (("2024-01-01", 2024), ("x", 2025)):
        write_csv(tmp_path / f"day={day}/year={year}/a.csv", [["x"], [0.5]])
    made = draft(tmp_path, model("m", {"x": [], "year": []}))
    assert record(made)["fields"] == {
        "x": {"dtype": "float32", "shape": []},
        "year": {"dtype": "int64", "shape": []},
    }
    assert made.spare == ("day",)
    assert made.record_notes == []


def test_key_of_folders_is_text_where_one_of_them_is_no_number(tmp_path):
    for part in ("1", "b"):
        write_csv(tmp_path / f"part={part}/a.csv", [["x"], [0.5]])
    made = draft(tmp_path, model("m", {"X": [2]}, framework="sklearn"))
    assert made.fields["part"].dtype == "string"


def test_records_that_the_draft_does_not_read_are_told(tmp_path):
    path = write_csv(tmp_path / "a.csv", [["a", "b"], [1, 2], [3], [4, 5]])
    made = draft(path, model("m", {"a": [], "b": []}))
    (note,) = made.record_notes
    assert note.startswith("1 of the first 3 records become dead letters, such as wrong_cells: ")


NUMBERS = st.one_of(st.integers(-999, 999), st.floats(-99, 99).map(lambda x: round(x, 3)))
COLUMNS = st.sampled_from(["number", "integer", "text", "gaps"])


@st.composite
def tables(draw):
    """Columns of one kind each under names of their own; some in numbers."""
    kinds = draw(st.lists(COLUMNS, min_size=2, max_size=5))
    names = [f"{kind}{'_abcde'[i]}" for i, kind in enumerate(kinds)]
    count = draw(st.integers(3, 20))
    values = {
        "number": st.floats(-99, 99).map(lambda x: f"{x:.3f}"),
        "integer": st.integers(-999, 999).map(str),
        "text": st.sampled_from(["red", "a;b", "x,y", 'say "hi"', "grün"]),
        "gaps": st.sampled_from(["", "NA", "0.5", "1.25"]),
    }
    columns = [
        ["7.5", *draw(st.lists(values[kind], min_size=count - 1, max_size=count - 1))]
        if kind == "gaps"
        else draw(st.lists(values[kind], min_size=count, max_size=count))
        for kind in kinds
    ]
    return names, kinds, list(zip(*columns, strict=True))


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(tables(), st.sampled_from([",", ";", "\t"]), st.sampled_from(["utf-8", "cp1252"]))
def test_what_is_drafted_reads_every_record_of_the_file(tmp_path, table, delimiter, encoding):
    names, kinds, rows = table
    if delimiter != ",":
        rows = [
            [
                c.replace(".", ",") if kind != "text" else c
                for c, kind in zip(row, kinds, strict=True)
            ]
            for row in rows
        ]
    path = write_csv(tmp_path / "a.csv", [names, *rows], encoding, delimiter=delimiter)
    wanted = model("m", {name: [] for name in names}, framework="sklearn")
    made = draft(path, wanted)
    assert set(made.fields) == set(names)
    assert made.record_notes == []

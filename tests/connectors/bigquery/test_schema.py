"""Columns of tables: derived from the ensemble, and compared with what is there."""

import pytest

from pipeline.connectors.bigquery.schema import (
    DEAD_LETTER_COLUMNS,
    TableColumn,
    column_of_api,
    column_to_api,
    misfits,
    prediction_columns,
)
from pipeline.errors import SpecError
from pipeline.spec.ensemble import EnsembleSpec

RELEASE = ["release_id", "generation", "models"]


def ensemble(outputs, record=None, **more):
    return EnsembleSpec.model_validate(
        {
            "name": "e",
            "record": record or {"fields": {"x": {"dtype": "float32"}}},
            "models": [
                {
                    "name": "m",
                    "framework": "onnx",
                    "uri": "m.onnx",
                    "inputs": {"x": "x"},
                    "outputs": {f"o{i}": name for i, name in enumerate(outputs)},
                }
            ],
            **more,
        }
    )


def columns(types, event_times=False, **more):
    found = prediction_columns(ensemble(types, **more), types, event_times=event_times)
    return {column.name: str(column) for column in found}


def test_outputs_get_the_types_of_their_dtypes_and_shapes():
    types = {
        "label": ("string", ()),
        "score": ("float32", ()),
        "count": ("int16", ()),
        "flag": ("bool", ()),
        "raw": ("bytes", ()),
        "big": ("uint64", ()),
        "vector": ("float32", (64,)),
        "tokens": ("int64", (None,)),
        "image": ("uint8", (8, 8)),
    }
    found = columns(types)
    assert list(found) == ["id", *types, *RELEASE]
    assert [found[name] for name in types] == [
        "STRING",
        "FLOAT64",
        "INT64",
        "BOOL",
        "BYTES",
        "NUMERIC",
        "REPEATED FLOAT64",
        "REPEATED INT64",
        "STRING",
    ]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({"dtype": "int64"}, "INT64"),
        ({"dtype": "uint64"}, "STRING"),
        ({"dtype": "string"}, "STRING"),
        (None, "STRING"),
    ],
)
def test_id_is_an_integer_only_where_the_record_declares_one(field, expected):
    fields = {"x": {"dtype": "float32"}, **({"key": field} if field else {})}
    record = {"id": "key", "fields": fields}
    assert columns({"y": ("float32", ())}, record=record)["id"] == expected


def test_pass_through_and_event_time_are_columns_where_there_are_such():
    types = {"y": ("float32", ())}
    assert list(columns(types)) == ["id", "y", *RELEASE]
    found = columns(types, event_times=True, pass_through=["city"])
    assert list(found) == ["id", "y", "pass_through", "event_time", *RELEASE]


@pytest.mark.parametrize(
    ("types", "says"),
    [
        ({"a-b": ("float32", ())}, "'a-b' cannot be a column of a table, expected letters"),
        ({"_FILE_x": ("float32", ())}, "'_FILE_x' cannot be a column of a table"),
        ({"Models": ("float32", ())}, "'Models' has the name of another column"),
        ({"y": ("float32", ()), "Y": ("float32", ())}, "'y' and 'Y' differ in case only"),
    ],
)
def test_outputs_that_cannot_be_columns_are_refused(types, says):
    with pytest.raises(SpecError, match=says):
        columns(types)


def test_output_of_unknown_type_is_refused_with_the_reason():
    with pytest.raises(SpecError, match=r"output column 'z' is not known.*warm_up: false"):
        prediction_columns(ensemble(["y", "z"]), {"y": ("float32", ())}, event_times=False)


def test_column_survives_the_way_through_the_api():
    for column in DEAD_LETTER_COLUMNS:
        assert column_of_api(column_to_api(column)) == column


def test_api_answers_in_legacy_names():
    found = column_of_api({"name": "x", "type": "FLOAT", "mode": "REPEATED"})
    assert found == TableColumn("x", "FLOAT64", repeated=True)


def test_table_with_more_nullable_columns_in_another_order_fits():
    wanted = [TableColumn("id", "STRING"), TableColumn("y", "FLOAT64")]
    found = [TableColumn("Y", "FLOAT64"), TableColumn("note", "JSON"), TableColumn("id", "STRING")]
    assert list(misfits(wanted, found)) == []


def test_integers_fit_wider_columns():
    assert list(misfits([TableColumn("n", "INT64")], [TableColumn("n", "NUMERIC")])) == []
    assert list(misfits([TableColumn("n", "NUMERIC")], [TableColumn("n", "INT64")])) == [
        "column 'n' is INT64, expected NUMERIC"
    ]


def test_each_misfit_names_column_found_and_expected():
    wanted = [
        TableColumn("a", "STRING"),
        TableColumn("b", "FLOAT64", repeated=True),
        TableColumn("models", "RECORD", repeated=True, fields=(TableColumn("name", "STRING"),)),
    ]
    found = [
        TableColumn("b", "FLOAT64"),
        TableColumn("models", "RECORD", repeated=True, fields=(TableColumn("name", "INT64"),)),
        TableColumn("must", "DATE", required=True),
    ]
    assert list(misfits(wanted, found)) == [
        "column 'a' is missing, expected STRING",
        "column 'b' is FLOAT64, expected REPEATED FLOAT64",
        "in 'models': column 'name' is INT64, expected STRING",
        "column 'must' is REQUIRED, but nothing is written to it",
    ]


def test_a_column_that_rows_may_lack_does_not_fit_a_required_one():
    may = TableColumn("age", "FLOAT64", optional=True)
    there = [TableColumn("age", "FLOAT64", required=True)]
    assert list(misfits([may], there)) == [
        "column 'age' is REQUIRED, but rows may lack it (`missing: keep`)"
    ]
    assert not list(misfits([TableColumn("age", "FLOAT64")], there))

"""Which Avro types can fill a field, and be an id."""

import pytest

from pipeline.formats.avro import schema
from pipeline.spec.record import FieldSpec

TEXT, WHOLE, NUMBER = (FieldSpec(dtype=dtype) for dtype in ("string", "int64", "float64"))


@pytest.mark.parametrize(
    ("kind", "logical", "field"),
    [
        ("string", "varchar", TEXT),  # as Hive writes them
        ("string", "datetime", TEXT),  # as BigQuery writes them
        ("long", "of-my-own", WHOLE),
        ("int", "of-my-own", NUMBER),
    ],
)
def test_logical_type_that_nobody_knows_is_the_type_below(kind, logical, field):
    found = {"type": kind, "logicalType": logical}
    assert schema.fits(found, field)
    assert schema.fits(["null", found], field)
    assert schema.id_fits(found)


@pytest.mark.parametrize(
    ("kind", "logical", "field"),
    [("int", "date", WHOLE), ("long", "timestamp-micros", WHOLE), ("bytes", "decimal", TEXT)],
)
def test_logical_type_of_which_an_object_is_made_is_no_number_and_no_text(kind, logical, field):
    assert not schema.fits({"type": kind, "logicalType": logical}, field)
    assert schema.fits({"type": "bytes", "logicalType": "decimal"}, NUMBER)

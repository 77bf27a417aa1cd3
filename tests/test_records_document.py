"""What docs/records.md shows of each format, one record, and says of each in one table, is true."""

import datetime
import io
import re
import uuid
from decimal import Decimal
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.formats.format import Reading
from pipeline.formats.opened_file import OpenedFile
from pipeline.formats.registry import FORMATS
from pipeline.spec.record import RecordSpec

DOCUMENT = (Path(__file__).parents[1] / "docs" / "records.md").read_text()
FILES = DOCUMENT.partition("\n## Files\n")[2].partition("\n## ")[0]
EXAMPLES = re.findall(r"\*\*.*?\*\*.*?\n```(\w+)\n(.*?)```", FILES, re.DOTALL)
SPEC = {"id": {"dtype": "string"}, "x": {"dtype": "float32", "shape": [3]}}


def write(language, example, folder, monkeypatch):
    """The file that an example shows, or makes."""
    if language == "python":
        monkeypatch.chdir(folder)
        exec(compile(example, "docs/records.md", "exec"), {})
    else:
        suffix = {"json": "jsonl", "csv": "csv"}[language]
        (folder / f"records.{suffix}").write_text(example)


@pytest.mark.parametrize(("language", "example"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_record_of_each_format_is_predicted(language, example, job, monkeypatch):
    import sklearn.linear_model

    from tests.support import models

    weights = [[1.0, 2.0, 3.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    fit = sklearn.linear_model.LinearRegression().fit([*weights, [0.0] * 3], [6.0, 1.0, 1.0, 0.0])
    models.save_estimator(fit, job.folder / "sum/1/model.skops")
    job.spec["record"] = {"id": "id", "fields": SPEC}
    job.spec["models"] = [
        {
            "name": "sum",
            "framework": "sklearn",
            "uri": "sum/1",
            "inputs": {"X": "x"},
            "outputs": {"predict": "sum"},
        }
    ]
    job.spec |= {"combine": [], "output": ["sum"]}
    write(language, example, job.input, monkeypatch)
    assert job.run() == 0
    assert job.dead_letters() == []
    (prediction,) = job.predictions()
    assert prediction["id"] == "a"
    assert prediction["predictions"]["sum"] == pytest.approx(1.5)


def test_every_format_has_an_example():
    shown = re.findall(r"records\.(\w+)", FILES)
    assert {*shown, "jsonl", "csv"} == set(FORMATS)
    assert len(EXAMPLES) == len(FORMATS)


COLUMNS = {"jsonl": 0, "csv": 1, "parquet": 2, "avro": 3, "tfrecord": 4}
TABLE = {
    row[0]: row[1:]
    for line in FILES.partition("### What each format takes\n")[2].splitlines()
    if line.startswith("| ") and (row := [cell.strip() for cell in line.strip("| ").split(" | ")])
}


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_table_says_how_files_of_each_format_are_read(format):
    def cell(row):
        return TABLE[row][COLUMNS[format.name]]

    names = (
        "all others" if format.name == "jsonl" else ", ".join(f"`{e}`" for e in format.extensions)
    )
    assert cell("names of files") == names
    assert (cell("compressed as a whole") == "no") is format.compresses_itself
    is_cut = format.splittable or format.cuts is not None
    assert (cell("readers of one large file") != "one") is is_cut
    assert (cell("values inside of objects (`path`)") != "no") is format.nests
    assert (cell("whole records (`source: raw`)") == "no") is bool(format.raw_problem)


ID = uuid.UUID(int=2**127)
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
KINDS = {
    "integers": (pa.array([1]), "long", 1),
    "floats": (pa.array([1.5]), "double", 1.5),
    "decimals": (pa.array([Decimal("1.50")]), DECIMAL, Decimal("1.50")),
    "booleans": (pa.array([True]), "boolean", True),
    "text": (pa.array(["t!"]), "string", "t!"),
    "base64 text": (pa.array(["YQ=="]), "string", "YQ=="),
    "bytes in UTF-8": (pa.array([b"t!"]), "bytes", b"t!"),
    "bytes": (pa.array([b"\xff"]), "bytes", b"\xff"),
    "UUIDs": (
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([ID.bytes], pa.binary(16))),
        {"type": "string", "logicalType": "uuid"},
        ID,
    ),
    "times": (
        pa.array([datetime.datetime(2024, 1, 2)]),
        {"type": "long", "logicalType": "timestamp-micros"},
        datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
    ),
}
"""What columns hold -> a Parquet column, a type of Avro and a value of it."""
COVERED = {"base64 text": "text", "bytes in UTF-8": "bytes"}
DTYPES = {
    "floats": "float32",
    "integers": "int64",
    "booleans": "bool",
    "text": "string",
    "bytes": "bytes",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", [*DTYPES, "ids"])
@pytest.mark.parametrize("format", ["parquet", "avro"])
def test_table_says_which_columns_fields_and_ids_take(format, row, kind):
    words = re.split("[,;] ", TABLE[row][COLUMNS[format]])
    fields = {"f": {"dtype": DTYPES.get(row, "float64")}}
    record = RecordSpec.model_validate({"id": "id", "fields": fields})
    key = "id" if row == "ids" else "f"
    column, avro_type, value = KINDS[kind]
    file = io.BytesIO()
    if format == "parquet":
        others = {"id": pa.array(["a"]), "f": pa.array([1.0])}
        pq.write_table(pa.table(others | {key: column}), file)
    else:
        types = {"id": "string", "f": "double"} | {key: avro_type}
        schema = [{"name": name, "type": of_name} for name, of_name in types.items()]
        schema = {"type": "record", "name": "R", "fields": schema}
        fastavro.writer(file, schema, [{"id": "a", "f": 1.0} | {key: value}])
    opened = OpenedFile("a", io.BytesIO(file.getvalue()), 0, file.tell())
    (block,) = FORMATS[format].blocks(opened, Reading(record=record))
    batch = FORMATS[format].decoder(record).decode(block)
    assert len(batch) == (kind in words or COVERED.get(kind) in words)
    assert len(batch) + len(batch.rejects) == 1

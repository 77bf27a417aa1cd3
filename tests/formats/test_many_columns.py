"""Wide files: the check of the first one, reading and decoding take as much work as columns."""

from __future__ import annotations

import io
import json

import pytest

from pipeline.batch.block import Block
from pipeline.connectors.files import input_checks
from pipeline.connectors.files.ranges import FileRange
from pipeline.connectors.files.read import read_range
from pipeline.formats.format import Reading
from pipeline.formats.parquet.checked_file import CheckedFile
from pipeline.formats.parquet.footer import row_groups
from pipeline.formats.parquet.room import Room
from pipeline.formats.registry import decoders
from pipeline.spec.record import RecordSpec
from tests.support import formats
from tests.support.growth import growth

LINEAR = 2.5
"""Twice the columns take this many times the lines at most; the square would take four times."""


@pytest.fixture(params=["fields", "one field", "texts"])
def record(request):
    def declared(count):
        if request.param == "one field":
            spread = {"dtype": "float32", "shape": [count], "columns": [f"c{{0..{count - 1}}}"]}
            return RecordSpec.model_validate({"id": "id", "fields": {"x": spread}})
        dtype = "string" if request.param == "texts" else "float32"
        fields = {f"c{i}": {"dtype": dtype} for i in range(count)}
        return RecordSpec.model_validate({"id": "id", "fields": fields})

    return declared


@pytest.mark.parametrize("format", formats.EXTENSIONS)
def test_a_wide_file_takes_as_much_work_as_it_has_columns(format, record, tmp_path):
    def work(count):
        declared = record(count)
        (name, field), *_ = declared.fields.items()
        value = "some text" if field.dtype == "string" else 0.5
        row = {"id": "a", **{f"c{i}": value for i in range(count)}, "other": 1}
        path = formats.write(tmp_path, format, [row] * 3, name=f"{count}")

        def read():
            assert list(input_checks.problems(str(path), format, declared)) == []
            part = FileRange(str(path), 0, path.stat().st_size, format)
            reading = Reading(100, keys=declared.outer_keys(), record=declared)
            (block,) = read_range(part, reading)
            batch = decoders(declared)[format].decode(block)
            assert len(batch) == 3
            assert len(batch.columns[name]) == 3

        return read

    assert growth(work) < LINEAR


def test_json_rows_that_lack_columns_take_as_much_work_as_there_are_columns(record):
    """They are told one by one, at the first column that they lack."""

    def work(count):
        decoder = decoders(record(count))["jsonl"]
        row = {"id": "a", **{f"c{i}": 0.5 for i in range(count - 1)}}
        payloads = [json.dumps(row).encode()] * 20
        return lambda: decoder.decode(Block(payloads, "a.jsonl"))

    assert len(work(50)().rejects) == 20
    assert growth(work, 50) < LINEAR


def test_chunks_of_a_parquet_file_are_looked_at_once_as_arrow_reads_them():
    """Arrow reads them in a thread of its own, whose lines are not counted above."""

    def work(count):
        row = {f"c{i}": "some text" for i in range(count)}
        file = CheckedFile(io.BytesIO(formats.as_bytes("parquet", [row] * 3)))
        (group,) = row_groups(file)
        chunks = dict(enumerate(group.chunks))
        room = Room(group, chunks, [(0, 1)] * count, Reading(100))
        room.begin()
        file.expect(chunks, room)

        def read():
            for chunk in group.chunks:
                file.seek(chunk.start)
                assert len(file.read(chunk.stored_bytes)) == chunk.stored_bytes

        return read

    assert growth(work) < LINEAR

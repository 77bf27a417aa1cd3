"""A format is one object: with its line in the registry, files of it are read from end to end."""

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from pipeline.batch.block import Block
from pipeline.connectors.files import input_checks
from pipeline.connectors.files.read import ReadBlocks
from pipeline.formats.decoder import RowDecoder
from pipeline.formats.format import Format, Reading
from pipeline.formats.registry import FORMATS, format_named, format_of
from pipeline.launch.first_records import first_batch, first_records
from pipeline.parameters import BY_NAME
from pipeline.spec.record import RecordSpec
from pipeline.transforms.decode import Decode

RECORD = RecordSpec.model_validate({"id": "key", "fields": {"x": {"dtype": "int64"}}})


class PairDecoder(RowDecoder):
    """Decodes ``key=number``."""

    def records(self, block, rows):
        return [self.record(block, row) for row in rows]

    def record(self, block, row):
        key, _, number = block.payloads[row].partition(b"=")
        return {"key": key.decode(), "x": int(number)}


def pair_blocks(opened, reading):
    words = b"".join(opened.content()).split()
    for first in range(0, len(words), reading.block_rows):
        yield Block(tuple(words[first : first + reading.block_rows]), opened.path, format="pairs")


def pair_check(opened, record, pass_through):
    if b"=" not in opened.file.read(100):
        yield "has no pairs"


PAIRS = Format("pairs", PairDecoder, pair_blocks, pair_check, extensions=(".pairs",))


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(FORMATS, PAIRS.name, PAIRS)


@pytest.mark.parametrize(("name", "chosen"), [("a.pairs", "auto"), ("a.txt", "pairs")])
def test_format_with_its_line_in_the_registry_is_read_and_decoded(tmp_path, name, chosen):
    (tmp_path / name).write_bytes(b"a=1 b=2\nc=3")

    def same(batches):
        found = {i: x for b in batches for i, x in zip(b.ids, b.columns["x"], strict=True)}
        assert found == {"a": 1, "b": 2, "c": 3}

    with beam.Pipeline(FnApiRunner()) as pipeline:
        read = ReadBlocks(f"{tmp_path}/*", Reading(2, chosen))
        assert_that(pipeline | read | beam.ParDo(Decode(RECORD, ())), same)


def test_format_with_its_line_in_the_registry_is_looked_into_at_launch(tmp_path):
    path = tmp_path / "a.pairs"
    path.write_bytes(b"a=1 b=2")
    assert first_records(str(path), 1).records == ({"key": "a", "x": 1},)
    assert first_batch(str(path), "auto", RECORD, 5).ids == ("a", "b")
    assert list(input_checks.problems(str(path), "auto", RECORD)) == []
    path.write_bytes(b"nothing")
    assert list(input_checks.problems(str(path), "auto", RECORD)) == [f"{path}: has no pairs"]


@pytest.mark.parametrize("format", FORMATS)
def test_format_can_be_chosen_by_parameter_and_by_extension(format):
    parameter = BY_NAME["input_format"]
    assert format in parameter.choices
    assert format in parameter.help
    assert FORMATS[format].extensions
    assert all(format_of(f"a{end}").name == format for end in FORMATS[format].extensions)


@pytest.mark.parametrize(
    "name",
    [
        "train.tfrecord-00003-of-00010",
        "data_tfrecord-00000-of-00012.gz",
        "toy.tfe-tfrecord-00001-of-00002",
        "07-192x192-798.tfrec",
        "part-00000-c000.tfrecord.gz",
    ],
)
def test_tfrecord_is_told_by_the_names_that_its_writers_give(name):
    """Those of tensorflow-datasets, TFX, TensorFlow Decision Forests, Kaggle and Spark."""
    assert format_of(f"gs://bucket/folder/{name}").name == "tfrecord"


def test_formats_have_names_and_extensions_of_their_own():
    formats = [*FORMATS.values(), format_named("image")]
    ends = [end for each in formats for end in each.extensions]
    assert len(set(ends)) == len(ends)
    assert [format_named(each.name) for each in formats] == formats

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.batch import wire
from pipeline.batch.batch import Batch, Reject
from pipeline.batch.block import Block, Origin
from pipeline.batch.columns import Ragged, iterate
from pipeline.batch.payloads import ArrowRows, JsonRows
from pipeline.batch.release import ModelVersion, Release
from pipeline.batch.tensors import TensorSpec
from pipeline.connectors.files.ranges import FileRange
from pipeline.connectors.files.write import TemporaryFile
from pipeline.errors import WireError
from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.releases.version_rule import VersionRule
from pipeline.report.statistics import run as run_statistics
from pipeline.report.statistics.run import RunStatistics
from pipeline.report.statistics.watched_columns import WatchedColumns
from pipeline.runner.endless import SourceProgress

GOLDEN = Path(__file__).parent / "golden_forms"
RELEASE = Release(3, (ModelVersion("net", "gs://b/net/7", "ab12"),))
CANDIDATE = Candidate("net=gs://b/net/7#f", "watch gs://b/net/*", 17, {"net": "gs://b/net/7"})
BATCH = Batch(
    ids=("a", 2, None),
    payloads=(b'{"x": 1}', b"", b"\xff"),
    columns={
        "x": np.array([[1.5, -0.0], [2, 3], [4, 5]], np.float32),
        "t": np.array(["é", "", b"\xff"], dtype=object),
        "r": Ragged([np.array([1, 2]), np.array([], np.int64), np.array([3])]),
    },
    pass_through=(b"{}", b"", b'{"k":1}'),
    release=RELEASE,
    rejects=(Reject(b"\xff", None, "decode", "not_json", "found..."),),
    origins=(Origin(1, {"k": "v"}), Origin(2, {}, "o"), Origin(3, {})),
)
WATCHED = WatchedColumns({"x": "net", "t": ""}, *[frozenset()] * 4)
KNOWN = {
    "candidate-1": CANDIDATE,
    "release-1": RELEASE,
    "release-event-1": ReleaseEvent(
        "rejected",
        datetime(2026, 11, 29, 3, 4, 5, tzinfo=UTC),
        candidate=CANDIDATE,
        release=RELEASE,
        reason="does not load",
        details={"load_secs": {"net": 0.25}},
    ),
    "source-progress-1": SourceProgress(b"\x00\x01\xff", b"\x02", 3),
    "temporary-file-1": TemporaryFile("gs://b/out.tmp-1/a.jsonl", 12),
    "file-range-2": FileRange("gs://b/in.csv", 7, 99, "csv", 3, b"id,\xff"),
    "block-1": Block(
        (b"{}", b"\xff"), "sub", "cut off", (Origin(1, {"k": "v"}),), "csv", 7, ("x",)
    ),
    "batch-1": BATCH,
    "run-statistics-2": run_statistics.from_batch(replace(BATCH, origins=None), WATCHED, 1_700_000),
}


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, arrays with their dtypes included."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, Ragged):
        return len(one) == len(other) and all(map(same, iterate(one), iterate(other)))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if hasattr(one, "__dataclass_fields__"):
        return type(one) is type(other) and same(vars(one), vars(other))
    return one == other


@pytest.mark.parametrize("name", KNOWN)
def test_value_survives(name):
    value = KNOWN[name]
    assert same(wire.loads(wire.dumps(value), type(value)), value)


@dataclass(frozen=True)
class Told:
    """What a model says of a tensor, as the process that tried it tells."""

    tensor: TensorSpec
    wire_form: ClassVar[str] = "told/1"


@pytest.mark.parametrize(
    "values", [None, ("a", "1"), (1, 2.5)], ids=["no categories", "text", "numbers"]
)
def test_categories_of_a_tensor_survive(values):
    told = Told(TensorSpec("region", dims=(None, 1), values=values))
    found = wire.loads(wire.dumps(told), Told)
    assert found == told
    assert list(map(type, found.tensor.values or ())) == list(map(type, values or ()))


def newest_file(name: str) -> Path:
    """What is written today: ``FORM+N``, where N times a field was added that has a default."""
    return max(GOLDEN.glob(f"{name}*"), key=lambda file: file.name)


def test_candidate_with_the_rule_of_its_pattern_survives():
    ruled = replace(CANDIDATE, rule=VersionRule("gs://b/net/*", ("", "")), passed_over="because")
    assert wire.loads(wire.dumps(ruled), Candidate) == ruled


@pytest.mark.parametrize("file", sorted(GOLDEN.iterdir()), ids=lambda file: file.name)
def test_what_every_earlier_version_wrote_is_read(file):
    value = KNOWN[file.name.partition("+")[0]]
    assert same(wire.loads(file.read_bytes(), type(value)), value)


@pytest.mark.parametrize("name", KNOWN)
def test_form_does_not_change_without_a_new_version(name):
    assert wire.dumps(KNOWN[name]) == newest_file(name).read_bytes()


def test_every_form_has_a_golden_file():
    forms = {type(value).wire_form.replace("/", "-") for value in KNOWN.values()}
    assert forms == set(KNOWN) <= {file.name for file in GOLDEN.iterdir()}


def test_field_that_is_missing_has_its_default():
    written = b'{"form":"candidate/1","candidate_id":"c","source":"s","sequence_us":1}'
    assert wire.loads(written, Candidate) == Candidate("c", "s", 1)


@pytest.mark.parametrize("name", ["candidate-1", "release-event-1", "source-progress-1"])
def test_field_of_a_newer_version_is_kept_and_written_again(name):
    value = KNOWN[name]
    plain = json.loads(wire.dumps(value)) | {"shade": {"deep": [1, "x"]}}
    read = wire.loads(json.dumps(plain).encode(), type(value))
    assert same(replace(read, unknown={}), value)
    assert json.loads(wire.dumps(read)) == plain


def test_values_without_arrays_are_json_that_a_person_can_read():
    assert json.loads(wire.dumps(CANDIDATE)) == {
        "form": "candidate/1",
        "candidate_id": "net=gs://b/net/7#f",
        "source": "watch gs://b/net/*",
        "sequence_us": 17,
        "models": {"net": "gs://b/net/7"},
        "manifest_uri": None,
        "rollback_to": None,
        "passed_over": None,
        "rule": None,
        "ordered": False,
    }


@pytest.mark.parametrize(
    "data",
    [
        b'{"form":"candidate/2","candidate_id":"c"}',
        b'{"candidate_id":"c"}',
        b'{"form":"block/1"}',
        b"{",
        b"\x80\x05\x95",
        b"",
    ],
    ids=["newer", "without form", "another form", "cut off", "pickle", "empty"],
)
def test_what_cannot_be_read_is_refused(data):
    with pytest.raises(WireError, match=r"found .*expected"):
        wire.loads(data, Candidate)


numeric = hnp.arrays(
    dtype=st.sampled_from(["int8", "uint64", "int64", "float16", "float32", "float64", "bool"]),
    shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3),
)


@given(numeric)
def test_column_of_numbers_survives_bit_by_bit(column):
    sent = Batch(tuple(range(len(column))), (b"",) * len(column), {"c": column})
    got = wire.loads(wire.dumps(sent), Batch).columns["c"]
    assert (got.dtype, got.shape, got.tobytes()) == (column.dtype, column.shape, column.tobytes())


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [np.array(1.5), np.array(2.5)],
        [np.ones((2, 0, 3)), np.ones((0, 4, 1)), np.arange(6.0).reshape(1, 2, 3)],
        [np.arange(6).reshape(2, 3).T, np.zeros((0, 2), int)],
        [np.array(["é", b"\xff"], object), np.array([], object)],
        [np.array([1], np.int32), np.array([0.5])],
        [np.array([1]), np.array([[2]])],
    ],
)
def test_column_of_rows_that_differ_survives(rows):
    batch = Batch(
        tuple(range(len(rows))), (b"",) * len(rows), {"c": Ragged(rows), "d": Ragged(rows)}
    )
    assert same(wire.loads(wire.dumps(batch), Batch), batch)


def test_rows_that_differ_in_length_are_one_part_of_values_and_one_of_shapes():
    column = Ragged([np.ones(length, np.float32) for length in range(1000)])
    encoded = wire.dumps(Batch((None,) * 1000, (b"",) * 1000, {"c": column}))
    assert int.from_bytes(encoded[4:8], "little") == 4  # JSON and payloads, too


any_text = st.text(st.characters() | st.characters(categories=["Cs"]))  # surrogates, too


@given(st.lists(any_text | st.binary()))
def test_column_of_text_survives(texts):
    column = np.empty(len(texts), dtype=object)
    column[:] = texts
    sent = Batch(tuple(texts and map(str, texts)), (b"",) * len(texts), {"c": column})
    got = wire.loads(wire.dumps(sent), Batch)
    assert got.ids == sent.ids
    assert got.columns["c"].tolist() == texts


@pytest.mark.parametrize("text", ["\ud83d", "é\ud83d\ude00\U0001f600", "\\ud83d"])
def test_halves_of_surrogate_pairs_survive_anywhere(text):
    candidate = Candidate(text, text, 17, {text: text}, passed_over=text)
    assert wire.loads(wire.dumps(candidate), Candidate) == candidate
    batch = replace(BATCH, ids=(text, 2**63, None), columns={text: np.array([text] * 3, object)})
    assert same(wire.loads(wire.dumps(batch), Batch), batch)


def test_what_json_has_no_number_for_is_refused():
    with pytest.raises(TypeError):
        wire.dumps(replace(CANDIDATE, sequence_us=2**70))


@given(st.lists(st.binary()))
def test_payloads_survive(payloads):
    block = Block(tuple(payloads), "s")
    assert wire.loads(wire.dumps(block), Block) == block


def test_rows_of_parquet_and_avro_files_keep_their_payloads():
    table = pa.record_batch({"a": [1, None, 3], "t": ["x", "y", None]})
    for payloads in (ArrowRows(table.slice(1)), JsonRows([{"a": b"\xff"}, {}]), JsonRows([])):
        read = wire.loads(wire.dumps(Block(payloads, "s")), Block)
        assert tuple(read.payloads) == tuple(payloads)


def test_names_of_columns_and_attributes_may_be_any():
    names = ("rows", "shape", "dtype", "part", "texts", "arrow", "lengths", "form")
    columns = {name: np.array([1]) for name in names}
    attributes = dict.fromkeys(names, "v")
    batch = Batch((1,), (b"p",), columns, origins=(Origin(1, attributes),))
    assert same(wire.loads(wire.dumps(batch), Batch), batch)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), -0.0, 0.1])
def test_floats_survive(value):
    @dataclass(frozen=True)
    class Holder:
        wire_form: ClassVar[str] = "holder/1"
        value: float
        more: dict[str, float] = field(default_factory=dict)

    assert repr(wire.loads(wire.dumps(Holder(value)), Holder).value) == repr(value)


def test_statistics_of_nothing_survive():
    empty = RunStatistics()
    assert same(wire.loads(wire.dumps(empty), RunStatistics), empty)


@given(st.data())
def test_what_is_cut_off_is_refused(data):
    whole = wire.dumps(KNOWN[data.draw(st.sampled_from(list(KNOWN)))])
    cut = data.draw(st.integers(0, len(whole) - 1))
    for kind in {type(value) for value in KNOWN.values()}:
        with pytest.raises(WireError):
            wire.loads(whole[:cut], kind)

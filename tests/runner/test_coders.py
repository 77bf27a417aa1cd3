"""Nothing that outlives a build of this program is a pickle of its classes."""

import pickle

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest

from pipeline.batch import wire
from pipeline.batch.batch import Batch, Reject
from pipeline.batch.block import Block
from pipeline.batch.columns import Ragged
from pipeline.batch.payloads import ArrowRows, JsonRows
from pipeline.batch.release import Release
from pipeline.connectors.files.ranges import FileRange
from pipeline.connectors.files.write import TemporaryFile
from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.report.statistics.run import RunStatistics
from pipeline.runner.coders import FormCoder
from pipeline.transforms.gather import MergeStatistics

KINDS = [Batch, Block, Candidate, FileRange, Release, ReleaseEvent, RunStatistics, TemporaryFile]


def coder_behind(transform, kind):
    """The coder in which a runner keeps what a step of the graph gets."""
    pipeline = beam.Pipeline()
    made = pipeline | beam.Create(["x"]) | beam.Map(lambda x: x).with_output_types(kind)
    _ = made | transform
    proto, context = pipeline.to_runner_api(return_context=True)
    (grouped,) = [
        t
        for t in proto.components.transforms.values()
        if t.spec.urn == "beam:transform:group_by_key:v1"
    ]
    (collection,) = grouped.inputs.values()
    return context.coders.get_by_id(proto.components.pcollections[collection].coder_id)


def components(coder):
    yield coder
    for component in coder._get_component_coders():
        yield from components(component)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_shuffled_has_its_form(kind):
    assert FormCoder(kind) in components(coder_behind(beam.Reshuffle(), kind))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_keyed_has_its_form(kind):
    keyed = beam.WithKeys("k").with_output_types(tuple[str, kind])
    assert FormCoder(kind) in components(coder_behind(keyed | beam.GroupByKey(), kind))


def test_statistics_that_are_not_merged_yet_have_their_form():
    assert FormCoder(RunStatistics) in components(MergeStatistics().get_accumulator_coder())


TABLE = pa.record_batch({"a": list(range(5000))})
PAYLOADS = {
    "lines": tuple(b"%d" % i * 50 for i in range(1000)),
    "arrow": ArrowRows(TABLE.slice(0, 1000)),
    "avro": JsonRows({"a": "x" * 200} for _ in range(1000)),
    "none": JsonRows([]),
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_size_of_many_records_is_estimated_without_encoding_them(name, monkeypatch):
    payloads = PAYLOADS[name]
    rows = len(payloads)
    rejects = (Reject(b"x" * 10_000, None, "decode", "not_json", "found..."),)
    ragged = Ragged([np.ones(i % 90) for i in range(rows)])
    columns = {"x": np.ones((rows, 30), np.float32), "r": ragged}
    batch = Batch((1,) * rows, payloads, columns, rejects=rejects)
    for value in (batch, Block(payloads, "a source")):
        real = len(wire.dumps(value))
        with monkeypatch.context() as patch:
            patch.setattr(wire, "dumps", lambda _: pytest.fail("encoded"))
            estimate = FormCoder(type(value)).get_impl().estimate_size(value)
        assert abs(estimate - real) < max(0.4 * real, 2000)


def test_size_of_small_values_is_that_of_their_bytes():
    candidate = Candidate("c", "s", 1)
    coder = FormCoder(Candidate)
    assert coder.estimate_size(candidate) == len(coder.encode(candidate))


def test_coder_travels_to_workers():
    coder = pickle.loads(pickle.dumps(FormCoder(Candidate)))
    assert coder == FormCoder(Candidate) != FormCoder(Block)
    candidate = Candidate("c", "s", 1)
    assert coder.decode(coder.encode(candidate)) == candidate

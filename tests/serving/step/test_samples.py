"""While a job runs, single rows are computed once more, and several that differ are a fault."""

import logging
import threading
from dataclasses import replace

import numpy as np
import pytest

from pipeline.batch.batch import Batch
from pipeline.batch.columns import Ragged
from pipeline.batch.release import ModelVersion, Release
from pipeline.errors import ModelFaultError, OutOfMemoryError, ProcessLostError
from pipeline.serving.merging import MergingServable
from pipeline.serving.step.samples import RowSamples
from pipeline.spec.model import OnnxModel
from pipeline.testing import FakeServable

RELEASE = Release(1, (ModelVersion("m", "m/7", "digest"),))
EVERY = 200


def spec(**more):
    return OnnxModel.model_validate(
        {
            "name": "m",
            "framework": "onnx",
            "uri": "m/7",
            "inputs": {"x": "x"},
            "outputs": {"y": "p"},
            **more,
        }
    )


def batch(servable, rows=4, **columns):
    x = np.arange(rows, dtype=np.float32) + 1
    outputs = servable.predict({"x": x})
    return Batch(
        ids=tuple(range(rows)),
        payloads=(b"",) * rows,
        columns={"x": x, "p": outputs["y"], **columns},
        release=RELEASE,
    )


def same(inputs):
    return {"y": inputs["x"] * 2}


def centred(inputs):
    return {"y": inputs["x"] - inputs["x"].mean() - 9}


def look(samples, done, servable, batches):
    return [same for _ in range(batches) for same in samples.look(done, servable)]


def test_one_row_of_few_batches_is_computed_once_more_and_of_more_where_a_job_begins():
    servable = FakeServable(same)
    samples, done = RowSamples(spec(), max_differences=3), batch(servable)
    found = [samples.look(done, servable) for _ in range(3 * EVERY)]
    turns = [number for number, rows in enumerate(found, start=1) if rows]
    assert turns == [1, 2, 4, 8, 16, 32, 64, 128, EVERY + 1, 2 * EVERY + 1]
    assert servable.calls == [4] + [1] * len(turns)


def test_difference_is_a_warning_with_model_version_and_both_values(caplog):
    servable = FakeServable(centred)
    with caplog.at_level(logging.WARNING):
        assert look(RowSamples(spec()), batch(servable), servable, 1) == [False]
    (told,) = caplog.messages
    assert told.startswith("model 'm' version 7 gives a row something else alone than in its batch")
    assert "but -9 alone (1 of the last 1 rows that were computed once more)" in told
    assert "`independent_rows: false`" in told


def test_stream_only_warns():
    servable = FakeServable(centred)
    found = look(RowSamples(spec()), batch(servable), servable, 10 * EVERY)
    assert found == [False] * (8 + 9)


def test_batch_job_of_one_batch_fails_at_the_third_difference_and_then_for_every_batch():
    servable = FakeServable(centred)
    samples, done = RowSamples(spec(), max_differences=3), batch(servable)
    for _ in range(3):
        with pytest.raises(ModelFaultError, match=r"3 of the last 3 rows"):
            samples.look(done, servable)


def test_after_a_difference_every_batch_is_looked_at_until_enough_rows_agree():
    servable = FakeServable(same)
    samples, good = RowSamples(spec(), max_differences=3), batch(servable)
    odd = batch(FakeServable(centred), rows=1)
    assert samples.look(odd, servable) == [False]
    assert look(samples, good, servable, 20) == [True] * 20
    found = [samples.look(good, servable) for _ in range(EVERY)]
    assert sum(map(len, found)) == 4  # batches 32, 64, 128, 201


def test_one_odd_row_never_fails_a_job_however_often_it_comes():
    def odd(inputs):
        return {"y": np.where(inputs["x"] == 2, len(inputs["x"]), inputs["x"])}

    servable = FakeServable(odd)
    found = look(RowSamples(spec(), max_differences=2), batch(servable), servable, 10 * EVERY)
    assert {True, False} == set(found)


def test_differences_that_lie_far_apart_never_fail_a_job():
    """Two among a hundred samples are forgotten with these."""
    servable = FakeServable(same)
    samples, good = RowSamples(spec(), max_differences=3), batch(servable)
    for number in range(5):
        x = np.array([number], np.float32)
        odd = replace(good, ids=(0,), payloads=(b"",), columns={"x": x, "p": x + 1000})
        while not samples.look(odd, servable):
            pass
        agreed = 0
        while agreed < (100 if number % 2 else 50):
            agreed += len(samples.look(good, servable))


def test_rows_that_may_depend_on_each_other_are_not_computed_again():
    servable = FakeServable(centred)
    done = batch(servable)
    assert look(RowSamples(spec(independent_rows=False), 3), done, servable, 5) == []
    assert servable.calls == [4]


def test_batch_without_rows_is_passed_over():
    empty = Batch(ids=(), payloads=(), columns={"x": np.zeros(0)}, release=RELEASE)
    servable = FakeServable(same)
    assert RowSamples(spec()).look(empty, servable) == []
    assert servable.calls == []


@pytest.mark.parametrize("error", [OutOfMemoryError("full"), ProcessLostError("gone")])
def test_call_that_the_machine_fails_says_nothing_of_the_row(error):
    servable = FakeServable(same)
    done = batch(servable)

    def fail(inputs):
        raise error

    assert RowSamples(spec(), 1).look(done, FakeServable(fail)) == []


def test_row_that_fails_alone_is_a_difference(caplog):
    servable = FakeServable(same)

    def fail(inputs):
        raise ValueError("not by itself")

    assert RowSamples(spec()).look(batch(servable), FakeServable(fail)) == [False]
    assert "but ValueError: not by itself alone" in caplog.text


def test_row_of_a_ragged_column_is_compared_without_the_filling_of_its_batch():
    def last(inputs):
        return {"y": inputs["x"][:, -1]}

    rows = Ragged([np.array([1.0, 2.0]), np.array([3.0])])
    padded = {"x": {"column": "x", "pad_value": 0}}
    samples = RowSamples(spec(inputs=padded))
    done = Batch(
        ids=(1, 2),
        payloads=(b"", b""),
        columns={"x": rows, "p": np.array([2.0, 0.0])},
        release=RELEASE,
    )
    found = look(samples, done, FakeServable(last), 20 * EVERY)
    assert {True, False} == set(found)


def test_row_is_computed_past_the_merging_while_another_call_waits_there():
    began, go, came = threading.Event(), threading.Event(), []

    def slow(inputs):
        if len(inputs["x"]) > 1:
            began.set()
            came.append(go.wait(10))  # until the sample is done, which must not wait for this
        return same(inputs)

    fake = FakeServable(slow)
    merging = MergingServable(fake, ["x"], call_rows=64)
    done = batch(FakeServable(same))
    other = threading.Thread(target=merging.predict, args=({"x": np.ones(5, np.float32)},))
    other.start()
    assert began.wait(10)
    assert RowSamples(spec()).look(done, merging) == [True]
    go.set()
    other.join()
    assert fake.calls == [5, 1]
    assert came == [True]

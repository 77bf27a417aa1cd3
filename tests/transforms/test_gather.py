"""The statistics of bundles, on the runner that local jobs use, and how they come together."""

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from pipeline.batch.batch import Batch, Reject
from pipeline.batch.release import ModelVersion, Release
from pipeline.report.statistics.run import RunStatistics, merged
from pipeline.report.statistics.watched_columns import WatchedColumns
from pipeline.serving.release_manager import ManagerHandle, ReleaseManager
from pipeline.testing import FakeLoader, FakeServable
from pipeline.transforms.combine import Combine
from pipeline.transforms.gather import GatherStatistics, KeepStatistics, MergeStatistics
from pipeline.transforms.gathered import process_statistics

RELEASE = Release(1, (ModelVersion("a", "m/a/1", "d"),))
WATCHED = WatchedColumns({"y": "a"}, frozenset(), frozenset(), frozenset(), frozenset())
START_US = 1_795_000_000_000_000


class Clock:
    """A second later at each look."""

    def __init__(self):
        self.looks = 0

    def __call__(self):
        self.looks += 1
        return START_US + 1_000_000 * self.looks


def make_manager():
    return ReleaseManager(FakeLoader(lambda version: FakeServable(dict)))


@pytest.fixture
def models():
    handle = ManagerHandle("gather", make_manager)
    yield handle
    handle.close()


def batch(values, dead=0):
    rejects = tuple(Reject(b"x", i, "decode", "not_json", "m") for i in range(dead))
    return Batch(
        tuple(range(len(values))),
        (b"x",) * len(values),
        {"y": np.array(values, np.float64)},
        release=RELEASE,
        rejects=rejects,
    )


def gathered(batches, models):
    """What comes out for one bundle."""
    step = GatherStatistics(WATCHED, models, Clock())
    step.setup()
    step.start_bundle()
    for one in batches:
        step.process(one)
    return [some.value for some in step.finish_bundle()]


def test_bundle_gives_the_statistics_of_its_batches_and_says_what_is_loaded(models):
    models.get().ensure(RELEASE)
    (found,) = gathered([batch([1.0, 2.0]), batch([3.0], dead=2)], models)
    assert (found.predictions, found.dead_letters, found.batches) == (3, 2, 2)
    assert found.columns["y"].values.borders()[0].tolist() == [1, 2, 3]
    assert (found.began_us, found.ended_us) == (START_US + 1_000_000, START_US + 3_000_000)
    (loaded,) = found.models
    assert (loaded.version, loaded.device) == (RELEASE.versions[0], "cpu")


def test_model_that_was_unloaded_meanwhile_is_not_loaded_for_the_page(models):
    (found,) = gathered([batch([1.0])], models)
    assert found.models == frozenset()
    assert models.get().loaded() == []


def test_rows_that_no_sink_can_hold_count_as_dead_letters_alone(models):
    (finished,) = Combine((), ("y",)).process(batch([1.0, np.nan]))
    (found,) = gathered([finished], models)
    assert (found.predictions, found.dead_letters) == (1, 1)
    assert [reason.error_type for reason in found.reasons] == ["not_finite_output"]
    assert found.columns["y"].values.count == 1


def test_empty_bundle_says_nothing(models):
    assert gathered([], models) == []


def test_long_bundle_holds_few_parts_and_loses_none(models):
    step = GatherStatistics(WATCHED, models, Clock())
    step.setup()
    step.start_bundle()
    for i in range(500):
        step.process(batch([float(i)]))
        assert step.waiting <= 32
    (found,) = step.finish_bundle()
    assert found.value.predictions == 500
    assert found.value.columns["y"].values.count == 500


def test_parts_are_combined_and_without_any_there_is_an_empty_one(models):
    def check(expected):
        def checker(found):
            assert found == [expected], found

        return checker

    parts = [RunStatistics(predictions=i, batches=1, began_us=i + 1) for i in range(100)]
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        some = pipeline | "some" >> beam.Create(parts)
        total = some | "a" >> beam.CombineGlobally(MergeStatistics())
        assert_that(total, check(merged(parts)), label="all")
        nothing = pipeline | "nothing" >> beam.Create([])
        total = nothing | "b" >> beam.CombineGlobally(MergeStatistics())
        assert_that(total, check(RunStatistics()), label="none")


def test_local_stream_keeps_its_statistics_in_the_process():
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        parts = pipeline | beam.Create([RunStatistics(predictions=1)] * 70)
        _ = parts | beam.ParDo(KeepStatistics("kept"))
    assert process_statistics("kept").read().predictions == 70
    assert process_statistics("another").read() == RunStatistics()

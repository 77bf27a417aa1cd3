"""Nothing grows with time: not the memory of a process, not its disk, not the size of its state."""

import gc
import os
import shutil
from datetime import UTC, datetime

import numpy as np
import pytest

from pipeline.batch import wire
from pipeline.batch.batch import Batch, Reject
from pipeline.batch.block import Origin
from pipeline.batch.version_number import numbered
from pipeline.releases.candidate import ReleaseEvent
from pipeline.releases.follower import ReleaseFollower
from pipeline.report.statistics import run, served
from pipeline.report.statistics.run import from_batch, from_event
from pipeline.report.statistics.served import MOST_RELEASES
from pipeline.report.statistics.watched_columns import WatchedColumns
from pipeline.serving.activation import Timing
from pipeline.serving.release_manager import ReleaseManager
from pipeline.testing import FakeLoader
from pipeline.transforms import tally
from pipeline.transforms.gathered import Gathered
from pipeline.transforms.tally import Tally
from tests.support.gating import NAMES, Bench, Ensemble, until

HOUR_US = 3_600_000_000
BATCHES = 12
WATCHED = WatchedColumns({"y": ""}, *[frozenset()] * 4)


class Processes:
    """A process with the gate, one that follows its log, and what both have counted."""

    def __init__(self, folder):
        self.ensemble = Ensemble(folder)
        self.ensemble.log.append(self.ensemble.state.history[-1])  # as a launch does
        self.bench = Bench(self.ensemble)
        self.loader = FakeLoader(self.ensemble.fake)
        self.other = ReleaseManager(self.loader, timing=Timing(retry_secs=(), grace_secs=0.0))
        self.follower = ReleaseFollower(
            self.ensemble.log, self.other, self.ensemble.launch, poll_secs=0.02
        )
        self.gathered, self.tally = Gathered(), Tally()
        self.now_us = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1e6)

    def close(self):
        self.follower.close()
        self.other.close()
        self.bench.close()

    def hour(self, number):
        """One release, or a candidate that comes to nothing, and the records of an hour."""
        model = NAMES[number % 2]
        if number % 12 == 7:
            candidate = self.ensemble.rollback()
        else:
            if number % 12 != 3:  # what is not there is rejected
                self.ensemble.put(model, number)
            candidate = self.ensemble.candidate(self.now_us, **{model: number})
        events = self.bench.propose(candidate)
        assert len(events) == 1
        release = self.bench.queue.state.current
        until(self.bench.manager, release.generation)
        until(self.other, release.generation)
        self.bench.manager.drain_activations()
        self.other.drain_activations()
        for loader in (self.bench.loader, self.loader):
            loader.loads.clear()  # the fakes remember for ever
        if number > 9:
            shutil.rmtree(self.ensemble.path(model, number - 8), ignore_errors=True)
        self._count(release, events)

    def _count(self, release, events: list[ReleaseEvent]):
        for event in events:
            self.gathered.add(from_event(event))
        for _ in range(BATCHES):
            self.now_us += HOUR_US // BATCHES
            keys = np.arange(5)
            reject = Reject(b"x", 0, "inference", "model_error", "m", "clf", release)
            batch = Batch(
                ids=tuple(keys),
                payloads=(b"{}",) * len(keys),
                columns={"y": np.sin(keys + self.now_us)},
                release=release,
                rejects=(reject,),
                origins=tuple(Origin(self.now_us - 1000, {}) for _ in keys),
            )
            self.gathered.add(from_batch(batch, WATCHED, self.now_us))
            self.tally.add(len(batch), 1, release.generation, [1.0])
        self.tally.read()

    def size(self):
        """Objects of this process, bytes of the statistics on their way, files of the cache."""
        statistics = len(wire.dumps(self.gathered.read()))
        numbered.cache_clear()  # has a bound
        gc.collect()
        cached = sum(len(names) for *_, names in os.walk(self.ensemble.folder / "cache"))
        return len(gc.get_objects()), statistics, cached


@pytest.fixture
def processes(tmp_path):
    gc.freeze()  # what other tests left is neither counted nor looked through again and again
    made = Processes(tmp_path)
    yield made
    made.close()
    gc.unfreeze()


@pytest.mark.parametrize(
    ("hours", "most_releases"),
    [(60, 20), pytest.param(720, MOST_RELEASES, marks=pytest.mark.long)],
    ids=["days", "a month"],
)
def test_memory_state_and_disk_stay_as_they_were(processes, hours, most_releases, monkeypatch):
    """Of a process that serves a release an hour: between half the time and all of it."""
    monkeypatch.setattr(served, "MOST_RELEASES", most_releases)
    monkeypatch.setattr(tally, "MOST_RELEASES", most_releases)
    monkeypatch.setattr(run, "MOST_EVENTS", most_releases)
    half = hours // 2
    for number in range(2, half):
        processes.hour(number)
    processes.size()
    objects, statistics, cached = processes.size()
    for number in range(half, hours):
        processes.hour(number)
    objects_after, statistics_after, cached_after = processes.size()

    assert objects_after - objects < hours - half, "less than one of each release"
    assert statistics_after < 1.15 * statistics
    assert cached_after == cached
    seen = processes.gathered.read()
    assert seen.predictions == processes.tally.read().predictions == 5 * BATCHES * (hours - 2)
    assert seen.releases.earlier is not None
    assert len(seen.releases.each) == most_releases

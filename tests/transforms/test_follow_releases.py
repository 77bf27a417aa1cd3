"""The first batch of a process, where its newest release cannot be loaded."""

import numpy as np
import pytest

from pipeline.batch.batch import Batch
from pipeline.connectors.storage.log_files import LogFiles
from pipeline.errors import EnsembleError, LoadError
from pipeline.releases.follower import FollowerFactory, FollowerHandle
from pipeline.releases.log import ReleaseLog
from pipeline.serving.activation import Timing
from pipeline.serving.release_manager import ManagerHandle, ReleaseManager
from pipeline.testing import FakeLoader, FakeServable
from pipeline.transforms.follow_releases import AssignActiveRelease
from tests.releases.test_log import accepted

BATCH = Batch(("a",), (b"",), {"x": np.zeros(1)})


class Process:
    """A process that cannot load the release of generation 2, which is the newest."""

    def __init__(self, folder, falls_back, unchecked=False):
        loader = FakeLoader(lambda version: FakeServable(dict))
        loader.fail.add("digest 2")
        self.log = ReleaseLog(str(folder), LogFiles())
        for generation in (1, 2):
            self.log.append(accepted(generation))
        first = accepted(1).release
        timing = Timing(retry_secs=(), grace_secs=0.0)
        self.manager = ManagerHandle(folder.name, lambda: ReleaseManager(loader, timing=timing))
        follow = FollowerFactory(self.log, self.manager, first, 0.01, lambda release: ())
        self.follower = FollowerHandle(folder.name, follow)
        self.loader = loader
        self.now = 0.0
        self.pauses = []
        self.step = AssignActiveRelease(
            *(self.manager, first, self.follower),
            falls_back=falls_back,
            retry_secs=60 if unchecked else 0,
            clock=lambda: self.now,
            sleep=self.pauses.append,
        )
        self.step.setup()

    def close(self):
        self.follower.close()
        self.manager.close()


@pytest.fixture
def process(request, tmp_path):
    made = Process(tmp_path, request.param)
    yield made
    made.close()


@pytest.mark.parametrize("process", [True], indirect=True)
def test_job_that_only_follows_falls_back_and_goes_on_with_the_next_release(process, caplog):
    stamped, *events = process.step.process(BATCH)
    assert stamped.release == accepted(1).release
    assert "release generation 2 cannot serve here, so generation 1 does" in caplog.text
    assert [event.value.outcome for event in events] == ["failed", "activated"]
    process.log.append(accepted(3))
    assert process.manager.get().wait_for(3, 10)
    assert next(iter(process.step.process(BATCH))).release == accepted(3).release


@pytest.mark.parametrize("process", [False], indirect=True)
def test_job_whose_own_gate_accepted_it_serves_nothing_older(process):
    with pytest.raises(LoadError):
        next(iter(process.step.process(BATCH)))


def test_models_that_no_launch_checked_are_tried_once_a_minute_and_each_time_it_is_said(
    tmp_path, caplog
):
    process = Process(tmp_path, falls_back=False, unchecked=True)
    try:
        for process.now in (0, 1, 59, 61, 62):
            with pytest.raises(EnsembleError, match="told to fail on clf/2"):
                next(iter(process.step.process(BATCH)))
        assert caplog.text.count("records stay unacknowledged until then") == 2
        assert len(process.pauses) == 3  # else the service would try at once, and log that
        process.loader.fail.clear()
        with pytest.raises(EnsembleError):
            next(iter(process.step.process(BATCH)))
        process.now = 122
        assert next(iter(process.step.process(BATCH))).release == accepted(2).release
    finally:
        process.close()


def test_fallback_that_cannot_serve_either_is_tried_once_a_minute_too(tmp_path, caplog):
    process = Process(tmp_path, falls_back=True, unchecked=True)
    process.loader.fail.add("digest 1")
    try:
        for process.now in (0, 1, 61):
            with pytest.raises(EnsembleError, match="told to fail on clf/1"):
                next(iter(process.step.process(BATCH)))
        assert caplog.text.count("records stay unacknowledged until then") == 2
        assert len(process.pauses) == 1
    finally:
        process.close()

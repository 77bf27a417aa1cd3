import threading

import apache_beam as beam
import pytest

from pipeline.connectors.storage.listing import StorageLister
from pipeline.releases.versions import WatchTarget
from pipeline.releases.watcher import WatcherHandle
from pipeline.transforms.watch import WatchModels

INTERVAL_SECS = 0.05
ASKED = []


def decided(candidate):
    """As if the gate came to its verdict as soon as a candidate was offered."""
    ASKED.append(candidate)
    return ASKED.count(candidate) > 1


@pytest.fixture
def watching(running, job_key, stop):
    """``with watching(*targets) as take``: `take()` waits for the next candidate."""

    def watch(*targets, interval_secs=INTERVAL_SECS, key=job_key):
        ASKED.clear()
        handle = WatcherHandle(key, targets, StorageLister(), decided, interval_secs)
        return running(lambda pipeline: pipeline | WatchModels(handle, stop))

    return watch


def test_versions_are_proposed_once_each_and_begin_with_the_newest(folder, put, watching):
    for relative in ("clf/1/model.onnx", "clf/9/model.onnx"):
        put(relative)
    with watching(WatchTarget(f"{folder}/clf/*", ("clf",))) as take:
        assert take().models == {"clf": f"{folder}/clf/9"}
        put("clf/2/model.onnx")
        put("clf/10/model.onnx")
        assert take().passed_over == (
            f"passed over: {folder}/clf/2 came later than {folder}/clf/9, and is older"
        )
        candidate = take()
        assert candidate.models == {"clf": f"{folder}/clf/10"}
        assert candidate.source == f"watch {folder}/clf/*"


def test_folder_with_a_marker_to_come_is_not_proposed_before(folder, put, watching):
    put("clf/1/model.onnx")
    put("clf/1/_SUCCESS")
    put("clf/2/model.onnx")
    put("other/1.onnx")
    targets = (
        WatchTarget(f"{folder}/clf/*", ("clf",), "_SUCCESS"),
        WatchTarget(f"{folder}/other/*", ("other",)),
    )
    with watching(*targets) as take:
        first = [take().models, take().models]
        assert {"clf": f"{folder}/clf/1"} in first
        put("clf/2/_SUCCESS")
        assert take().models == {"clf": f"{folder}/clf/2"}


def test_overwritten_file_is_proposed_again_under_another_id(folder, put, watching):
    put("clf/model.onnx", b"one")
    with watching(WatchTarget(f"{folder}/clf/model.onnx", ("clf",))) as take:
        first = take()
        put("clf/model.onnx", b"another")
        second = take()
        assert first.models == second.models == {"clf": f"{folder}/clf/model.onnx"}
        assert first.candidate_id != second.candidate_id


def test_manifest_proposes_a_whole_release(folder, put, watching):
    put("releases/r9.json")
    put("releases/r12.json")
    with watching(WatchTarget(f"{folder}/releases/*.json")) as take:
        assert take().manifest_uri == f"{folder}/releases/r12.json"


def test_restarted_job_proposes_the_newest_under_the_same_id(folder, put, watching, job_key):
    put("clf/1.onnx")
    target = WatchTarget(f"{folder}/clf/*", ("clf",))
    with watching(target, key=f"{job_key}-before") as take:
        before = take()
    with watching(target, key=f"{job_key}-after") as take:
        assert take() == before


class HangingLister:
    """A storage that answers only when the test is over."""

    answers = threading.Event()

    def list_files(self, pattern, rule=None):
        self.answers.wait()
        return []


def test_storage_that_hangs_does_not_stop_other_steps_nor_the_end(running, job_key, stop):
    handle = WatcherHandle(
        job_key, (WatchTarget("gs://b/clf/*", ("clf",)),), HangingLister(), decided, INTERVAL_SECS
    )

    with running(
        lambda pipeline: pipeline | WatchModels(handle, stop),
        lambda pipeline: pipeline | beam.Create(["begin"]) | beam.Reshuffle() | beam.Map(str.upper),
    ) as take:
        assert take() == "BEGIN"
    HangingLister.answers.set()

"""--refresh_mode=follow as a user runs it: the test is the job whose gate accepts releases."""

from datetime import UTC, datetime

import pytest

import main
from pipeline.batch.release import ModelVersion, Release
from pipeline.connectors.storage.log_files import LogFiles
from pipeline.releases.log import ReleaseLog
from pipeline.releases.state import initial_state
from pipeline.serving.files.local_files import digest_of
from tests.jobs.test_streaming import Stream, check_labels


class Followed(Stream):
    """A job that follows, and the folder of the job that it follows."""

    def __init__(self, folder):
        super().__init__(folder)
        self.followed = ReleaseLog(str(folder / "followed"), LogFiles())

    def accept(self, generation, number):
        path = self.folder / "net" / str(number)
        version = ModelVersion("net", str(path), digest_of(path))
        release = Release(generation, (version,))
        assert self.followed.append(initial_state(release, datetime.now(UTC)).history[-1])

    def files(self):
        folder = self.folder / "followed"
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def job(tmp_path):
    return Followed(tmp_path)


def test_stream_serves_what_is_accepted_elsewhere_and_keeps_what_it_can_load(job):
    job.version(2, scale=3)
    job.version(3, scale=5)
    (job.folder / "net/3/model.onnx").write_bytes(b"damaged since it was accepted")
    job.version(4, scale=7)
    options = [f"--release_dir={job.followed.folder}", "--release_poll_secs=1"]
    with job.running(*options, refresh="follow"):
        job.feed_until(lambda: job.serves(0))
        job.accept(1, 2)
        job.feed_until(lambda: job.serves(1))
        job.accept(2, 3)
        job.feed_until(lambda: job.events("failed"))
        job.accept(3, 4)
        job.feed_until(lambda: job.serves(3))
        assert job.stop() == 0
    check_labels(job.predictions(), {"1": 1, "2": 3, "4": 7})
    assert job.files() == [f"release-00000{number}.json" for number in (1, 2, 3)]
    assert "has no release of these models yet" in job.log()


def test_batch_job_is_pinned_to_the_newest_release_and_writes_nothing_there(job, capsys):
    job.version(2, scale=3)
    job.accept(1, 1)
    job.accept(2, 2)
    job.feed(3)
    words = [word for word in job.arguments() if "--streaming" not in word]
    words = [word for word in words if "release_events" not in word and "file_secs" not in word]
    status = main.main([*words, "--refresh_mode=follow", f"--release_dir={job.followed.folder}"])
    assert status == 0, capsys.readouterr().err
    check_labels(job.lines("p-0*.jsonl"), {"2": 3})
    assert job.files() == ["release-000001.json", "release-000002.json"]

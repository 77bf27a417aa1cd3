"""`release` and `status` beside a job that runs: main.py in a process of its own, in watch mode."""

import pytest

from tests.jobs.test_streaming import Stream


@pytest.fixture
def stream(tmp_path):
    made = Stream(tmp_path)
    del made.spec["models"][0]["watch"]
    return made


def test_job_follows_what_release_writes_and_status_tells_what_it_did(run, stream):
    folder = stream.folder
    accepted = folder / "accepted"
    job = [f"--release_pattern={folder}/releases/*.json", f"--release_dir={accepted}"]
    release = ["release", folder / "ensemble.yaml", "--release_dir", accepted, "--manifest"]
    with stream.running(*job):
        stream.feed_until(lambda: stream.serves(1))
        stream.version(2, scale=3)
        assert run(*release, folder / "releases/1.json", "--set", "net=net/2").status == 0
        stream.feed_until(lambda: stream.serves(2))
        assert "net 1 -> 2" in run("status", accepted).out
        # By a proposal in the release folder, which needs no pattern.
        assert run(*release[:-1], "--rollback").status == 0
        stream.feed_until(lambda: stream.serves(3))
        assert stream.stop() == 0
    newest, before = run("status", accepted).out.splitlines()[1:3]
    assert newest.split()[:2] == ["*", "3"]
    assert "net 2 -> 1" in newest
    assert "rollback to 1, proposal" in newest
    assert before.split()[0] == "2"

"""The same jobs on Prism, a runner that distributes: what comes out is audited from outside."""

import os
import socket
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import pytest

from tests.jobs.test_streaming import ROOT, Stream, check_labels
from tests.jobs.test_streaming_pubsub import Service
from tests.support.jobs import record

SCALES = {"1": 1, "2": 3}

pytestmark = pytest.mark.timeout(900)  # of which Prism may take minutes to be built
each_run = pytest.mark.parametrize("run", range(int(os.environ.get("PRISM_RUNS", "1"))))
"""More than one by `make test-engines`."""


def followed(stream):
    """Where the workers hear of releases, and of the end."""
    return [f"--release_dir={stream.folder}/log", "--release_poll_secs=1"]


def audit(stream):
    """Each record once, each value computed by the version that it names, no traceback."""
    predictions = stream.predictions()
    assert Counter(p["id"] for p in predictions) == Counter(stream.sent)
    check_labels(predictions, SCALES)
    assert "Traceback" not in stream.log()
    return {p["release"]["generation"]: p["release"]["models"]["net"] for p in predictions}


def by_id(lines):
    """Records without what depends on the run."""
    assert len({line["id"] for line in lines}) == len(lines)
    return {line["id"]: line["predictions"] for line in lines}


def reasons(lines):
    return sorted((letter["stage"], letter["error_type"]) for letter in lines)


@each_run
def test_batch_gives_record_by_record_what_one_process_gives(job, prism, capsys, run):
    records = [record(i, (i / 100, -1.0, 2.0, i)) for i in range(400)]
    for part in range(4):
        job.write_input(*records[part::4], b"not json", name=f"{part}.jsonl")
    assert job.run() == 0
    predictions, letters = by_id(job.predictions()), reasons(job.dead_letters())
    assert (len(predictions), len(letters)) == (400, 4)
    assert job.run(*prism, "--overwrite=true") == 0
    assert by_id(job.predictions()) == predictions
    assert reasons(job.dead_letters()) == letters
    assert "404 records" in capsys.readouterr().out
    assert job.run(*prism, "--overwrite=true", "--max_dead_letter_percent=0.5") == 1
    assert "--max_dead_letter_percent" in capsys.readouterr().err


@each_run
def test_stream_of_files_is_refreshed_by_watch_and_rolled_back(tmp_path, prism, run):
    stream = Stream(tmp_path)
    pattern = f"--release_pattern={stream.folder}/releases/*.json"
    with stream.running(*prism, *followed(stream), pattern):
        stream.feed_until(lambda: stream.serves(1))
        stream.version(2, scale=3)
        stream.feed_until(lambda: stream.serves(2))
        broken = stream.folder / ".making-3"
        broken.mkdir()
        (broken / "model.onnx").write_bytes(b"not a model")
        broken.rename(stream.folder / "net" / "3")
        stream.feed_until(lambda: stream.events("rejected"))
        (stream.folder / "releases" / "1.json").write_text('{"rollback": true}')
        stream.feed_until(lambda: stream.serves(3))
        stream.wait_until_all_predicted()
        assert stream.stop() == 0
    assert audit(stream) == {1: "1", 2: "2", 3: "1"}
    journal = (stream.folder / "out" / "p.read-journal").read_text().split()
    assert len(journal) == len(list((stream.folder / "in").iterdir())), "of all that was read"


@contextmanager
def workers(folder):
    """A pool that starts worker processes when a runner asks for them; its address."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"  # noqa: PTH120
    command = ["-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    with (folder / "workers.txt").open("w") as log:
        pool = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
    try:
        yield f"localhost:{port}"
    finally:
        pool.terminate()
        pool.wait(timeout=30)


@each_run
def test_stream_of_messages_on_workers_of_their_own_is_refreshed_by_event(
    tmp_path, pubsub, prism, run
):
    service = Service(tmp_path, pubsub)
    with workers(tmp_path) as address:
        elsewhere = ["--environment_type=EXTERNAL", f"--environment_config={address}"]
        options = [*prism, *elsewhere, *followed(service), service.event_mode()]
        with service.running(*options, refresh="event"):
            service.feed_until(lambda: service.serves(1))
            service.version(2, scale=3)
            service.ask(models={"net": f"{service.folder}/net/2"})
            service.ask(models={"net": "/elsewhere/net/3"})
            service.feed_until(lambda: service.serves(2))
            service.feed_until(lambda: service.events("rejected"))
            service.wait_until_all_predicted()
            assert service.stop() == 0  # by a mark, since the sources are in another process
    assert audit(service) == {1: "1", 2: "2"}
    assert pubsub.unacknowledged(service.subscription) == 0
    assert pubsub.unacknowledged(service.refresh_subscription) == 0

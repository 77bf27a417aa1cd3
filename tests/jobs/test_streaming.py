"""Streams as a user runs them: main.py in a process of its own, models refreshed while it runs."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml

import main
from tests.support import models

ROOT = Path(__file__).parents[2]
X = [1.0, -2.0, 0.5, 3.0]


def expected(scale):
    weights, bias = models.affine_weights(scale)
    return np.asarray(X) @ weights + bias


class Stream:
    """A streaming job over a folder, and what it wrote so far."""

    def __init__(self, folder):
        self.folder = folder
        self.sent = []
        self.process = None
        (folder / "in").mkdir()
        (folder / "releases").mkdir()
        self.version(1, scale=1)
        entry = {
            "name": "net",
            "framework": "onnx",
            "uri": "net/1",
            "watch": "net/*",
            "inputs": {"x": "x"},
            "outputs": {"y": "y"},
        }
        self.spec = {
            "name": "s",
            "record": {"id": "id", "fields": {"x": {"dtype": "float32", "shape": [4]}}},
            "models": [entry],
        }

    def version(self, number, scale):
        """Drops a version into place, complete at once."""
        made = models.onnx_file(self.folder / f".making-{number}", scale=scale).parent
        (self.folder / "net").mkdir(exist_ok=True)
        made.rename(self.folder / "net" / str(number))

    def feed(self, count=20):
        """A new input file with records of ids that were not used before."""
        ids = [f"r{len(self.sent) + i}" for i in range(count)]
        lines = "".join(json.dumps({"id": i, "x": X}) + "\n" for i in ids)
        self.put(lines)
        self.sent += ids

    def put(self, text):
        number = len(list((self.folder / "in").iterdir()))
        hidden = self.folder / "in" / f".{number}.part"
        hidden.write_text(text)
        hidden.rename(self.folder / "in" / f"{number:05d}.jsonl")

    def arguments(self, *more):
        (self.folder / "ensemble.yaml").write_text(yaml.safe_dump(self.spec))
        return [
            f"--ensemble_spec={self.folder}/ensemble.yaml",
            f"--input_file_pattern={self.folder}/in/*.jsonl",
            "--streaming=true",
            f"--output_path={self.folder}/out/p",
            "--output_file_secs=1",
            f"--release_events_path={self.folder}/out/events",
            *more,
        ]

    @contextmanager
    def running(self, *more, refresh="watch"):
        arguments = self.arguments(
            f"--refresh_mode={refresh}", "--watch_interval_secs=1", "--stop_after_secs=600", *more
        )
        with (self.folder / "log.txt").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "main.py", *arguments], cwd=ROOT, stdout=log, stderr=log
            )
        try:
            yield self
        finally:
            self.process.kill()
            self.process.wait()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def log(self):
        return (self.folder / "log.txt").read_text()

    def lines(self, pattern):
        files = sorted((self.folder / "out").glob(pattern))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def predictions(self):
        return self.lines("p-2*.jsonl")

    def dead_letters(self):
        return self.lines("p-dead-letters-2*.jsonl")

    def events(self, outcome=None):
        found = self.lines("events-2*.jsonl")
        return [event for event in found if outcome in (None, event["event"])]

    def wait_for(self, condition, secs=150):
        for _ in range(secs * 20):
            if condition():
                return
            assert self.process.poll() is None, self.log()
            threading.Event().wait(0.05)
        raise AssertionError(f"not within {secs} s; the log:\n{self.log()}\n{self.events()}")

    def feed_until(self, condition):
        def fed_and_met():
            self.feed(5)
            return condition()

        self.wait_for(fed_and_met)

    def wait_until_all_predicted(self):
        self.wait_for(lambda: {p["id"] for p in self.predictions()} == set(self.sent))

    def serves(self, generation):
        served = self.predictions()
        return bool(served) and served[-1]["release"]["generation"] == generation


@pytest.fixture
def stream(tmp_path):
    return Stream(tmp_path)


def check_labels(predictions, scale_of_version):
    for line in predictions:
        scale = scale_of_version[line["release"]["models"]["net"]]
        np.testing.assert_allclose(line["predictions"]["y"], expected(scale), rtol=1e-4)


def passed_over(stream, name):
    return [event for event in stream.events("ignored") if f"{name} " in event["reason"]]


def served_by(stream):
    return {p["release"]["models"]["net"] for p in stream.predictions()}


def test_corrupt_version_never_serves_and_every_prediction_matches_its_label(stream):
    stream.feed()
    with stream.running():
        stream.wait_for(lambda: stream.serves(1))
        broken = stream.folder / ".making-2"
        broken.mkdir()
        (broken / "model.onnx").write_bytes(b"not a model")
        broken.rename(stream.folder / "net" / "2")
        stream.feed_until(lambda: stream.events("rejected"))
        stream.version(10, scale=3)
        stream.feed_until(lambda: stream.serves(2))
        stream.version(9, scale=5)  # an old version dropped again: 9 is below 10
        stream.feed_until(lambda: passed_over(stream, "net/9"))
        stream.wait_until_all_predicted()
        assert stream.stop() == 0
    assert any("net/9 came later than " in e["reason"] for e in stream.events("ignored"))
    (rejected,) = stream.events("rejected")
    assert rejected["candidate"]["models"]["net"].endswith("net/2")
    assert "model.onnx" in rejected["reason"]
    check_labels(stream.predictions(), {"1": 1, "10": 3})
    assert served_by(stream) == {"1", "10"}
    assert sorted(p["id"] for p in stream.predictions()) == sorted(stream.sent)
    assert [e["release"]["generation"] for e in stream.events("activated")] == [1, 2]


def test_backlog_is_served_by_the_newest_version_that_passes_also_where_the_uri_is_gone(stream):
    (stream.folder / "net" / "1").rename(stream.folder / "net" / "2")
    stream.version(5, scale=3)
    (stream.folder / "net" / "10").mkdir()
    (stream.folder / "net" / "10" / "model.onnx").write_text("half an upload")
    stream.feed(50)
    with stream.running():
        stream.wait_until_all_predicted()
        stream.wait_for(lambda: stream.events("rejected"))
        assert stream.stop() == 0
    check_labels(stream.predictions(), {"5": 3})
    (rejected,) = stream.events("rejected")
    assert rejected["candidate"]["models"]["net"].endswith("net/10")
    assert "net/10 is passed over for 'net': " in stream.log()
    assert "net/5, the newest that passes of 3 under " in stream.log()


def test_stray_folder_is_told_and_newer_numbers_serve_all_the_same(stream):
    stream.version(9, scale=2)
    with stream.running(f"--release_dir={stream.folder}/accepted"):
        stream.feed_until(lambda: stream.serves(1))
        stream.version("backup", scale=7)
        stream.feed_until(lambda: passed_over(stream, "net/backup"))
        stream.version(10, scale=3)
        stream.feed_until(lambda: stream.serves(2))
        assert stream.stop() == 0
    stream.version(11, scale=4)
    with stream.running(f"--release_dir={stream.folder}/accepted"):
        stream.feed_until(lambda: stream.serves(3))
        assert stream.stop() == 0
    check_labels(stream.predictions(), {"9": 2, "10": 3, "11": 4})
    assert "net/backup does not fit: " in stream.log()


def test_dates_are_numbers_and_a_longer_one_is_told_rather_than_missed(stream):
    (stream.folder / "net" / "1").rename(stream.folder / "net" / "20240131")
    stream.spec["models"][0]["uri"] = "net/20240131"
    with stream.running():
        stream.feed_until(lambda: stream.serves(1))
        stream.version("20240201-0930", scale=7)
        stream.feed_until(lambda: passed_over(stream, "net/20240201-0930"))
        stream.version("20240202", scale=3)
        stream.feed_until(lambda: stream.serves(2))
        assert stream.stop() == 0
    check_labels(stream.predictions(), {"20240131": 1, "20240202": 3})


def test_hashes_are_taken_in_the_order_of_time(stream):
    names = ["3f2a9c1", "0123456", "9d04e77"]
    (stream.folder / "net" / "1").rename(stream.folder / "net" / names[0])
    with stream.running():
        stream.feed_until(lambda: stream.serves(1))
        for generation, name in enumerate(names[1:], start=2):
            stream.version(name, scale=generation)
            stream.feed_until(lambda generation=generation: stream.serves(generation))
        assert stream.stop() == 0
    check_labels(stream.predictions(), {name: i for i, name in enumerate(names, start=1)})


def test_restart_does_not_undo_a_rollback(stream):
    options = [
        f"--release_pattern={stream.folder}/releases/*.json",
        f"--release_dir={stream.folder}/accepted",
    ]
    with stream.running(*options):
        stream.feed_until(lambda: stream.serves(1))
        for number in (2, 3):
            stream.version(number, scale=number)
            stream.feed_until(lambda number=number: stream.serves(number))
        (stream.folder / "releases" / "1.json").write_text('{"rollback": true}')
        stream.feed_until(lambda: stream.serves(4))
        assert stream.stop() == 0
    before = len(stream.predictions())
    with stream.running(*options):
        stream.feed(20)
        stream.wait_until_all_predicted()
        stream.version(4, scale=4)
        stream.feed_until(lambda: stream.serves(5))
        assert stream.stop() == 0
    after = [p["release"]["models"]["net"] for p in stream.predictions()[before:]]
    assert set(after) == {"2", "4"}
    told = [event["candidate"]["id"] for event in stream.events("accepted")]
    assert len(told) == len(set(told)) == 3, "no verdict is told twice"


def test_rollback_serves_the_older_version_under_a_new_generation(stream):
    manifest = stream.folder / "releases" / "1.json"
    with stream.running(f"--release_pattern={stream.folder}/releases/*.json"):
        stream.feed_until(lambda: stream.serves(1))
        stream.version(2, scale=3)
        stream.feed_until(lambda: stream.serves(2))
        manifest.write_text('{"rollback": true}')
        stream.feed_until(lambda: stream.serves(3))
        assert stream.stop(signal.SIGINT) == 0
    by_generation = {
        p["release"]["generation"]: p["release"]["models"]["net"] for p in stream.predictions()
    }
    assert by_generation == {1: "1", 2: "2", 3: "1"}
    (event,) = stream.events("rolled_back")
    assert (event["rolled_back_from"], event["rolled_back_to"]) == (2, 1)


def test_relaunch_resumes_at_the_last_accepted_release_and_loses_no_record(stream):
    releases = f"--release_dir={stream.folder}/accepted"
    with stream.running(releases):
        stream.feed_until(lambda: stream.serves(1))
        stream.version(2, scale=3)
        stream.feed_until(lambda: stream.serves(2))
        stream.feed(50)
        stream.process.kill()
        stream.process.wait()
    before = len(stream.events())
    with stream.running(releases, refresh="off"):
        stream.feed(10)
        stream.wait_until_all_predicted()
        assert stream.stop() == 0
    assert "resuming at release" in stream.log()
    assert stream.serves(2)
    check_labels(stream.predictions(), {"1": 1, "2": 3})
    assert len(stream.events()) > before


def test_bad_records_of_a_stream_are_dead_letters_with_their_file(stream):
    with stream.running(refresh="off"):
        stream.feed(3)
        stream.put('{"id": "short", "x": [1]}\nnot json\n')
        stream.wait_for(lambda: len(stream.dead_letters()) == 2 and len(stream.predictions()) == 3)
        assert stream.stop() == 0
    assert {d["error_type"] for d in stream.dead_letters()} == {"wrong_shape", "not_json"}
    assert all("file" in d["attributes"] for d in stream.dead_letters())


def test_stream_stops_by_itself_after_records_and_tells_what_it_did(stream, capsys):
    for _ in range(4):
        stream.feed(25)
    assert main.main(stream.arguments("--stop_after_records=100")) == 0
    shown = capsys.readouterr().out
    assert "100 records: 100 predictions, 0 dead letters" in shown
    assert len(stream.predictions()) == 100


def test_more_than_one_local_worker_is_refused(stream, capsys):
    assert main.main(stream.arguments("--direct_num_workers=2")) == 2
    assert "a local stream runs in one process with one worker" in capsys.readouterr().err


def test_multi_threading_mode_streams_too(stream):
    stream.feed(30)
    arguments = stream.arguments("--stop_after_records=30", "--direct_running_mode=multi_threading")
    assert main.main(arguments) == 0
    assert len(stream.predictions()) == 30


def test_watch_mode_with_nothing_to_watch_is_refused(stream, capsys):
    del stream.spec["models"][0]["watch"]
    assert main.main(stream.arguments("--refresh_mode=watch")) == 2
    assert "nothing to watch; give a model the key `watch`" in capsys.readouterr().err


def test_batch_job_pins_the_newest_version_that_passes_at_launch(stream):
    stream.version(10, scale=3)
    stream.version(9, scale=2)
    (stream.folder / "net" / "11").mkdir()
    (stream.folder / "net" / "11" / "model.onnx").write_text("half an upload")
    stream.feed(5)
    arguments = [a for a in stream.arguments() if not a.startswith(("--streaming", "--release"))]
    assert main.main(arguments) == 0
    found = [
        json.loads(line)
        for file in (stream.folder / "out").glob("p-0*")
        for line in file.read_text().splitlines()
    ]
    assert {p["release"]["models"]["net"] for p in found} == {"10"}
    check_labels(found, {"10": 3})


def test_environment_is_left_as_it_was(stream):
    before = (signal.getsignal(signal.SIGTERM), os.environ.get("STORAGE_EMULATOR_HOST"))
    stream.feed(1)
    assert main.main(stream.arguments("--stop_after_records=1")) == 0
    assert before == (signal.getsignal(signal.SIGTERM), os.environ.get("STORAGE_EMULATOR_HOST"))

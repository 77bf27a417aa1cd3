"""A stream through everything that befalls it in months, within a minute; audited from outside.

``make soak`` plays it for as long as SOAK_SECS says. SOAK_SEED repeats a run that failed. With
SOAK_PROCESSES=2 so many jobs share one subscription and one release folder, each in a process of
its own, and what happens to a job happens to one of them while the others go on.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.chaos.audit import Sent, doubled_lines, problems_of
from tests.chaos.job import Job, growth_of
from tests.chaos.plan import EACH_RECORD_ONCE, Act, Kind, acts
from tests.chaos.world import MODELS, Feed, Versions, releases_of
from tests.support.waiting import wait_until

SECS = float(os.environ.get("SOAK_SECS", "25"))
EVERY_SECS = float(os.environ.get("SOAK_EVERY_SECS", "2.5"))
SEED = int(os.environ.get("SOAK_SEED", random.SystemRandom().randrange(10**6)))
ARGUMENTS = shlex.split(os.environ.get("SOAK_ARGUMENTS", ""))
"""More of main.py, such as ``--runner=PrismRunner``."""
PROCESSES = int(os.environ.get("SOAK_PROCESSES", "1"))
pytestmark = pytest.mark.timeout(SECS + 600)

SPEC = {
    "name": "soak",
    "record": {"id": "id", "fields": {"x": {"dtype": "float32", "shape": [4]}}},
}
_STREAMS = "streaming through ensemble"


class Soak:
    """The jobs of a stream, what is sent to it, and what happens to it.

    Args:
      folder: of input, output and log.
      versions: of the models.
      send: lines to the job.
      inputs: arguments that name them.
      line: to the storage of the models, where there is one.
    """

    def __init__(self, folder, versions, send, inputs, line=None, environ=None):
        self.folder, self.versions, self.line = folder, versions, line
        self.feed = Feed(send, SEED)
        entries = [
            {
                "name": model,
                "framework": "onnx",
                "uri": f"{versions.root}/{model}/1",
                "watch": f"{versions.root}/{model}/*",
                "inputs": {"x": "x"},
                "outputs": {"y": f"{model}_y"},
            }
            for model in MODELS
        ]
        (folder / "ensemble.yaml").write_text(yaml.safe_dump({**SPEC, "models": entries}))
        for model in MODELS:
            versions.add(model)
        arguments = [
            f"--ensemble_spec={folder}/ensemble.yaml",
            "--streaming=true",
            f"--output_path={folder}/out/p",
            "--output_file_secs=1",
            f"--release_dir={versions.root}/accepted",
            f"--release_pattern={versions.root}/proposed/*.json",
            "--refresh_mode=watch",
            "--watch_interval_secs=1",
            "--release_poll_secs=1",
            *inputs,
            *ARGUMENTS,
        ]
        self.jobs = [Job(arguments, environ or {}, folder / f"job{n}") for n in range(PROCESSES)]

    def play(self, kinds):
        """Starts the jobs and the feed, plays all acts, and waits until all records came out."""
        for job in self.jobs:
            self.start(job)
        self.feed.start()
        try:
            began = time.monotonic()
            for act in acts(SEED, SECS, EVERY_SECS, kinds):
                threading.Event().wait(max(0.0, began + act.at_secs - time.monotonic()))
                print(f"{time.monotonic() - began:7.1f} s  {act.kind}", flush=True)
                self.check()
                self.happens(act)
            for model in MODELS:  # the last acts may have left no time for any version to serve
                self.versions.add(model)
            with suppress(AssertionError):  # the audit says that nothing was refreshed
                wait_until(lambda: self.check() or len(self.served()) > 1, 120)
        finally:
            self.feed.stop()
        with suppress(AssertionError):  # the audit says what is missing
            wait_until(lambda: self.check() or self.has_all(), 120)
        self.check()
        for job in self.jobs:
            self.stop(job)

    def check(self):
        for job in self.jobs:
            job.check()

    def start(self, job):
        """Starts a job, and waits until it streams."""
        before = job.log().count(_STREAMS)
        job.start()
        wait_until(lambda: job.check() or job.log().count(_STREAMS) > before, 120)

    def stop(self, job):
        assert job.stop() == 0, job.log()[-3000:]

    def close(self):
        for job in self.jobs:
            job.close()

    def happens(self, act: Act):
        model = MODELS[int(act.draw * len(MODELS))]
        job = self.jobs[int(act.draw * len(self.jobs))]
        secs = 1 + 4 * act.draw
        match act.kind:
            case Kind.VERSION:
                self.versions.add(model)
            case Kind.BURST:
                for each in range(4):
                    self.versions.add(MODELS[each % 2])
            case Kind.SLOW:
                self.versions.add_slowly(model, secs)
            case Kind.CORRUPT:
                self.versions.add_corrupt(model, act.draw)
            case Kind.ROLLBACK:
                self.versions.roll_back()
            case Kind.STOP:
                self.stop(job)
                self.start(job)
            case Kind.KILL:
                job.kill()
                job.start()
                threading.Event().wait(10 * act.draw)
                job.kill()  # perhaps while it is starting
                self.start(job)
            case Kind.PAUSE:
                job.pause(secs)
            case Kind.CUT:
                self.line.cut()
                threading.Event().wait(secs)
                self.line.restore()

    def has_all(self):
        came = {line["id"] for line in self.lines("p-2*")}
        letters = {line["payload"] for line in self.lines("p-dead-letters-2*")}
        return came >= self.feed.rows.keys() and letters >= set(self.feed.broken)

    def served(self):
        return {line["release"]["generation"] for line in self.lines("p-2*")}

    def lines(self, pattern):
        paths = sorted((self.folder / "out").glob(f"{pattern}.jsonl"))
        return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]

    def audit(self, log, *, once):
        """Checks what came out against what was sent and what was accepted."""
        releases = releases_of(log)
        predictions, letters = self.lines("p-2*"), self.lines("p-dead-letters-2*")
        sent = Sent(self.feed.rows, self.feed.broken)
        problems = problems_of(
            sent, predictions, letters, releases, self.versions.corrupt, once=once
        )
        every_use = [uses for job in self.jobs for uses in job.uses]
        problems += [one for uses in every_use for one in growth_of(uses)]
        served = self.served()
        print(
            f"{len(sent.rows):,} records, {len(sent.broken)} broken lines, "
            f"{doubled_lines(predictions, letters)} doubled, {len(self.jobs)} processes, "
            f"{len(every_use)} starts, {len(releases)} releases, {len(served)} served"
        )
        assert not problems, "\n".join([f"SOAK_SEED={SEED}", *problems])
        assert len(served) > 1, "nothing was refreshed"


@pytest.mark.skipif(PROCESSES > 1, reason="each job reads the whole folder")
def test_each_record_comes_out_once_whatever_happens_around_the_job(tmp_path):
    folder = tmp_path
    (folder / "in").mkdir()

    def put(relative, content):
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def send(lines):
        hidden = folder / "in" / ".part"
        hidden.write_text("\n".join(lines) + "\n")
        hidden.rename(folder / "in" / f"{time.time_ns()}.jsonl")

    versions = Versions(str(folder), put, folder / "scratch")
    soak = Soak(folder, versions, send, [f"--input_file_pattern={folder}/in/*.jsonl"])
    try:
        soak.play([kind for kind in EACH_RECORD_ONCE if kind is not Kind.CUT])
    finally:
        soak.close()
    soak.audit(map(Path.read_bytes, (folder / "accepted").glob("release-*.json")), once=True)


def test_nothing_is_lost_where_the_job_is_killed_and_its_storage_is_cut(
    tmp_path, gcs, pubsub, proxy
):
    bucket = gcs.new_bucket()
    topic = pubsub.new_topic()
    subscription = pubsub.new_subscription(topic)
    line = proxy(os.environ["STORAGE_EMULATOR_HOST"].removeprefix("http://"))
    soak = Soak(
        tmp_path,
        Versions(
            bucket, lambda name, content: gcs.upload(f"{bucket}/{name}", content), tmp_path / "s"
        ),
        lambda lines: pubsub.publish_all(topic, [line.encode() for line in lines]),
        [f"--input_subscription={subscription}"],
        line,
        {"STORAGE_EMULATOR_HOST": f"http://{line.address}"},
    )
    try:
        soak.play(tuple(Kind))
    finally:
        soak.close()
    log = [uri for uri in gcs.list(f"{bucket}/accepted/") if "/release-" in uri]
    soak.audit(map(gcs.download, log), once=False)

"""The demo itself: feeds the job, listens to it, and plays the acts."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from streaming import release_events
from streaming.account import Account
from streaming.acts import Act, Director
from streaming.channel import Arrival, Channel
from streaming.feed import Record
from streaming.history import History, seconds
from streaming.job import Job
from streaming.timeline import Timeline

_TICK_SECS = 0.01
_STATUS_SECS = 3.0
_HINDSIGHT_SECS = 0.5
_START_SECS = 180
_DRAIN_SECS = 60


class StalledError(Exception):
    """Nothing comes out; the message says what was waited for."""


class Demo:
    """One run.

    Args:
      channel: to the job.
      job: runs already.
      records: what to feed.
      records_per_sec: how fast.
      director: decides when the acts are played.
      timeline: where to say what happens.
      folder: of the run; what is said leaves it out of paths.
    """

    def __init__(
        self,
        channel: Channel,
        job: Job,
        records: Iterator[Record],
        records_per_sec: float,
        director: Director,
        timeline: Timeline,
        folder: Path,
    ) -> None:
        self._channel = channel
        self._job = job
        self._records = records
        self._at_once = max(1, round(records_per_sec * channel.feed_secs))
        self._director = director
        self._timeline = timeline
        self._folder = folder
        self._status = Status()
        self._events: set[bytes] = set()
        self._early: list[Arrival] = []
        self.account = Account()

    def run(self) -> History:
        """Plays everything, waits for what is in flight, and stops the job.

        Raises:
          JobError: the job ended too early, or badly.
          StalledError: what was sent does not come out.
          UnexpectedError: the models did not become what they should.
        """
        self._wait_for_start()
        history = History(began=time.time())
        try:
            self._play(history)
            self._drain(history)
            self._job.stop()
            self._take(history)
        finally:
            self._timeline.print_until(float("inf"))
        return history

    def _play(self, history: History) -> None:
        feed_secs = self._channel.feed_secs
        text = (
            f"the forest is a single tree; from now on {self._at_once} records every {feed_secs} s"
        )
        self._timeline.say(0.0, "demo", text)
        feed_at = history.began
        while not self._director.is_over(time.time() - history.began):
            if time.time() >= feed_at:
                self._feed()
                feed_at += feed_secs
            self._listen(history)
            if act := self._director.next_act(time.time() - history.began):
                self._perform(act, history)

    def _wait_for_start(self) -> None:
        """Sends the first records and waits until they came out: then all models are warm."""
        self._feed()
        print("main.py starts, with four frameworks to import:", flush=True)
        give_up_at = time.monotonic() + _START_SECS
        while sum(arrival.kind != "release event" for arrival in self._early) < self._at_once:
            self._early += self._channel.arrivals()
            for line in self._job.said():
                if line.startswith("["):  # its progress; the rest are remarks of the frameworks
                    print(f"  {line}", flush=True)
            self._job.check()
            if time.monotonic() > give_up_at:
                raise StalledError(f"the first records did not come out within {_START_SECS} s")
            time.sleep(_TICK_SECS)

    def _feed(self) -> None:
        records = list(itertools.islice(self._records, self._at_once))
        self.account.send(records)
        self._channel.send(records)

    def _listen(self, history: History) -> None:
        self._job.check()
        self._take(history)
        if text := self._status.due(history):
            self._timeline.say(time.time() - history.began, "stream", text)
        self._timeline.print_until(time.time() - history.began - _HINDSIGHT_SECS)
        time.sleep(_TICK_SECS)

    def _take(self, history: History) -> None:
        arrivals, self._early = [*self._early, *self._channel.arrivals()], []
        for arrival in arrivals:
            self._note(arrival, history)

    def _note(self, arrival: Arrival, history: History) -> None:
        line = json.loads(arrival.content)
        if arrival.kind == "prediction":
            self.account.prediction(line)
            if history.prediction(line, arrival.at):
                generation = line["release"]["generation"]
                text = f"first prediction of generation {generation} came out"
                self._timeline.say(arrival.at - history.began, "stream", text)
        elif arrival.kind == "dead letter":
            self.account.dead_letter(line)
            history.dead_letter(arrival.at)
        elif line["event"] != "ignored" and arrival.content not in self._events:
            self._events.add(arrival.content)  # Pub/Sub may deliver it once more
            at = seconds(line["time"])
            history.mark(at, *release_events.mark(line))
            text = self._shortened(release_events.described(line))
            self._timeline.say(at - history.began, "models", text)
            self._director.outcome(line["event"], at - history.began)

    def _perform(self, act: Act, history: History) -> None:
        done = act.perform()
        history.mark(time.time(), "told", act.label)
        self._timeline.say(time.time() - history.began, "demo", self._shortened(done))

    def _drain(self, history: History) -> None:
        """Waits until everything that was sent came out."""
        at = history.fed_secs = time.time() - history.began
        left = f"the last {self.account.missing:,} have" if self.account.missing else "all have"
        text = f"no more records; once {left} come out, main.py gets SIGTERM"
        self._timeline.say(at, "demo", text)
        give_up_at = time.monotonic() + _DRAIN_SECS
        while self.account.missing:
            self._listen(history)
            if time.monotonic() > give_up_at:
                raise StalledError(
                    f"{self.account.missing:,} of {self.account.sent:,} records did not come out "
                    f"within {_DRAIN_SECS} s"
                )

    def _shortened(self, text: str) -> str:
        return text.replace(f"{self._folder}/", ".../")


class Status:
    """A line on the stream every few seconds."""

    def __init__(self) -> None:
        self._next = _STATUS_SECS
        self._told = 0

    def due(self, history: History) -> str | None:
        """The line, if it is time for it."""
        at = time.time() - history.began
        if at < self._next:
            return None
        self._next += _STATUS_SECS
        fresh = history.predictions[self._told :]
        self._told = len(history.predictions)
        latencies = [p.latency_ms for p in fresh if p.was_fed]
        if not latencies:
            return "nothing came out"
        p50, p99 = np.percentile(latencies, [50, 99])
        generation = fresh[-1].generation
        share = history.shares[generation]
        return (
            f"{len(latencies) / _STATUS_SECS:.0f}/s, p50 {p50:.0f} ms, p99 {p99:.0f} ms; right in "
            f"generation {generation}: forest {share.forest / share.count:.1%}, "
            f"ensemble {share.ensemble / share.count:.1%}"
        )

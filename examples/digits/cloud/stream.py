"""The stream: its launch, its acts and what has to come of each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice

from streaming.feed import Record, read_lines, records

from cloud.bounds import Bounds, OverdueError, Watched
from cloud.dataflow import DRAINED, RUNNING, UPDATED, Dataflow
from cloud.findings import Findings
from cloud.outputs import Event, StreamOutputs
from cloud.settings import Settings
from cloud.storage import Storage

FIRST_SECS = 20 * 60
"""A launcher, workers that pull an image of gigabytes, models that load."""
SOON_SECS = 60
"""The promise for a new version; twice as long is waited, so that its figure is known."""
_STEADY = 10
_FEW = 20
_LEASE_SECS = 300
_KEPT_OF_CORRUPT = 0.6


class StreamJob:
    """The demo's stream.

    Args:
      dataflow, storage, settings, bounds: of the run.
      outputs: what comes out.
      findings: takes what is found.
      now: seconds since 1970.
    """

    def __init__(
        self,
        dataflow: Dataflow,
        storage: Storage,
        settings: Settings,
        bounds: Bounds,
        outputs: StreamOutputs,
        findings: Findings,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._dataflow = dataflow
        self._storage = storage
        self._settings = settings
        self._bounds = bounds
        self._outputs = outputs
        self._findings = findings
        self._now = now
        self._lines = read_lines(settings.output_dir / "records")
        self._records: Iterator[Record] = records(self._lines)
        self._forest = settings.output_dir / "models" / "forest" / "1"
        self.job_id = ""

    def launch(self, *, update: bool = False) -> None:
        """Launches it, or an update of it, with the same parameters."""
        told, folder = self._settings, f"{self._settings.folder}/stream"
        parameters = {
            "ensemble_spec": f"{folder}/ensemble.yaml",
            "input_subscription": told.subscription("records"),
            "output_topic": told.topic("predictions"),
            "dead_letter_topic": told.topic("dead-letters"),
            "release_events_topic": told.topic("events"),
            "refresh_mode": "both",
            "refresh_subscription": told.subscription("refresh"),
            "watch_interval_secs": str(told.watch_interval_secs),
            "release_dir": f"{folder}/releases",
        }
        name = told.job("stream")
        self.job_id = self._dataflow.launch(name, parameters, update=update)
        self._bounds.jobs[self.job_id] = Watched("stream", name, set())

    def prove(self) -> None:
        """All acts, one after the other.

        Raises:
          RunError: one of them does not come to its end, so that those after it mean nothing.
        """
        for act in (
            self._start,
            self._steady,
            self._better_forest,
            self._corrupt_forest,
            self._roll_back,
            self._update,
            self.drain,
        ):
            act()

    def _start(self) -> None:
        """All lines of the demo, the broken ones among them."""
        began = self._now()
        running = partial(self._dataflow.is_in, self.job_id, RUNNING)
        secs = self._bounds.wait("the stream's launcher", running, FIRST_SECS)
        self._findings.measure("launch until the graph is there, s", f"{secs:.0f}")
        self._send(len(self._lines))
        try:
            self._bounds.wait("all messages", self._is_balanced, FIRST_SECS)
        finally:
            self._findings.expect(
                "stream_accounts", not self._outputs.account.missing, self._verdict()
            )
        first = min(self._outputs.served.values(), default=began)
        self._findings.measure("launch until the first prediction, s", f"{first - began:.0f}")

    def _steady(self) -> None:
        """A few records at a time, for the latency of a stream that runs."""
        self._outputs.latencies.clear()
        for _ in range(_STEADY):
            self._send(_FEW)
            self._bounds.wait("a few messages", self._is_balanced, FIRST_SECS)
        secs = sorted(self._outputs.latencies) or [0.0]
        for name, share in (("median", 0.5), ("p95", 0.95)):
            value = secs[min(int(share * len(secs)), len(secs) - 1)]
            self._findings.measure(f"latency by two clocks, {name}, ms", f"{1000 * value:.0f}")

    def _better_forest(self) -> None:
        began = self._place("2")
        accepted = self._event("forest_2_accepted", "accepted")
        took = accepted.at - began if accepted else 0.0
        self._findings.expect("forest_2_accepted", took <= SOON_SECS, f"{took:.1f} s")
        activated = self._event("forest_2_serves", "activated", generation=2)
        self._bounds.wait("predictions of forest/2", lambda: self._serves(2), 2 * SOON_SECS)
        secs = (
            [each - began for each in (activated.at, self._outputs.served[2])] if activated else [0]
        )
        self._findings.expect(
            "forest_2_serves",
            max(secs) <= SOON_SECS and self._forest_of(2) == "2",
            f"activated after {secs[0]:.1f} s, first prediction after {secs[-1]:.1f} s",
        )

    def _corrupt_forest(self) -> None:
        began = self._place("3", corrupt=True)
        rejected = self._event("corrupt_rejected", "rejected")
        self._send(_FEW)
        self._bounds.wait("a few messages", self._is_balanced, FIRST_SECS)
        served = "3" in self._outputs.forests.values()
        why = f"after {rejected.at - began:.1f} s: {rejected.reason}" if rejected else ""
        self._findings.expect("corrupt_rejected", not served, why)

    def _roll_back(self) -> None:
        began = self._now()
        topic = self._settings.topic("refresh")
        self._outputs.pubsub.publish(topic, [json.dumps({"rollback": True}).encode()])
        self._event("rollback", "rolled_back")
        self._bounds.wait("predictions after the rollback", lambda: self._serves(3), 2 * SOON_SECS)
        secs = self._outputs.served.get(3, began) - began
        self._findings.expect("rollback", self._forest_of(3) == "1", f"serves after {secs:.1f} s")

    def _update(self) -> None:
        old, began = self.job_id, self._now()
        self._bounds.jobs[old].ends = {UPDATED}
        self.launch(update=True)
        for what, job_id, state in (
            ("the end of the old job", old, UPDATED),
            ("the updated job", self.job_id, RUNNING),
        ):
            self._bounds.wait(what, partial(self._dataflow.is_in, job_id, state), FIRST_SECS)
        self._outputs.look()
        before = dict(self._outputs.served)
        self._send(_FEW)
        self._bounds.wait("messages after the update", self._is_balanced, FIRST_SECS)
        newest = max(self._outputs.served, default=0)
        self._findings.expect(
            "update",
            before == self._outputs.served and newest == 3,
            f"generation {newest} before and after, {self._now() - began:.0f} s",
        )

    def drain(self) -> None:
        """The last act: it reads no more, and ends after what it has read."""
        began = self._now()
        self._send(_FEW)
        self._bounds.jobs[self.job_id].ends = {DRAINED}
        self._dataflow.request(self.job_id, DRAINED)
        self._bounds.wait("the drain", partial(self._dataflow.has_ended, self.job_id), FIRST_SECS)
        took = self._now() - began
        end, account = self._dataflow.state(self.job_id), self._outputs.account
        # What a drain did not read any more waits in the subscription for the next job. What it had
        # leased comes back when the lease ends.
        if end.name == DRAINED:
            with suppress(OverdueError):
                self._bounds.wait("what the drain left", self._outputs.is_accounted, _LEASE_SECS)
        self._findings.expect(
            "drain",
            end.name == DRAINED and account.missing <= self._outputs.unread and not account.unknown,
            f"{end.name} after {took:.0f} s; {self._verdict()}; {self._outputs.unread} wait in the "
            "subscription",
        )

    def _place(self, version: str, *, corrupt: bool = False) -> float:
        """Uploads a version of the forest; when, in seconds since 1970."""
        began = self._now()
        for path in sorted(self._forest.iterdir()):
            content = path.read_bytes()
            kept = content[: int(len(content) * _KEPT_OF_CORRUPT)] if corrupt else content
            uri = f"{self._settings.folder}/stream/models/forest/{version}/{path.name}"
            self._storage.upload(uri, kept)
        return began

    def _send(self, count: int) -> None:
        self._outputs.send(list(islice(self._records, count)), self._now())

    def _event(self, assertion: str, outcome: str, **release: int) -> Event | None:
        """Waits for an event; None only in a dry run. An overdue one fails the assertion.

        Sends a few records again and again: a process says what it made of a release beside those.
        """
        found: list[Event] = []

        def came() -> bool:
            self._send(_FEW)
            self._outputs.look()
            found.extend(filter(None, [self._outputs.first(outcome, **release)]))
            return bool(found)

        try:
            self._bounds.wait(f"the release event {outcome!r}", came, 2 * SOON_SECS)
        except OverdueError as error:
            seen = ", ".join(f"{each.outcome} {each.reason}" for each in self._outputs.events[-5:])
            self._findings.expect(assertion, False, f"{error}; the last events: {seen or 'none'}")
            raise
        return found[0] if found else None

    def _serves(self, generation: int) -> bool:
        """Whether it has; sends a few records to find out."""
        self._send(_FEW)
        self._outputs.look()
        return generation in self._outputs.served

    def _forest_of(self, generation: int) -> str:
        return self._outputs.forests.get(generation, "")

    def _is_balanced(self) -> bool:
        self._outputs.look()
        return not self._outputs.account.missing

    def _verdict(self) -> str:
        return self._outputs.account.verdict()

"""Event mode: candidates from the messages of the refresh subscription."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.batch.block import Block
from pipeline.batch.metrics import NAMESPACE, REFRESH_MESSAGES
from pipeline.errors import ArtifactError
from pipeline.releases.candidate import Candidate, Outcome, ReleaseEvent
from pipeline.releases.message import Ignored, LookNow, Refused, interpret
from pipeline.releases.versions import Look, WatchTarget, next_look
from pipeline.releases.watcher import WatcherHandle
from pipeline.runner.beam_types import DoFn
from pipeline.spec.plain_data import shown
from pipeline.transforms.gate import EVENTS

# One to see a new version, one to find it unchanged, and one to spare. What is still being written
# then will cause another notification.
_LOOKS = 3


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Lookout(Protocol):
    """Looks for new versions when a storage says that something changed. Can be pickled."""

    @property
    def targets(self) -> tuple[WatchTarget, ...]:
        """What may be looked at."""

    def look(self, target: WatchTarget) -> Iterable[Candidate]:
        """Look at one of them, for candidates; or have it looked at, for none.

        Raises:
          ArtifactError: the storage refuses, or does not answer.
        """


class WatcherLookout:
    """Asks the watcher of this process: its source emits what it finds. Nothing waits.

    For runners that run that source (:class:`~pipeline.transforms.watch.WatchModels`) in this
    process.

    Args:
      handle: the watcher of each process.
    """

    def __init__(self, handle: WatcherHandle) -> None:
        self.targets = handle.targets
        self._handle = handle

    def look(self, target: WatchTarget) -> Iterable[Candidate]:
        """See Lookout."""
        self._handle.get().look_now(target)
        return ()


class BundleLookout:
    """Looks on the thread of the bundle: for runners with the watcher's source anywhere.

    The bundle waits for a new version to be complete, or for a storage that fails: at most two
    intervals for each target.

    Args:
      handle: tells what to look at, and how often.
    """

    def __init__(self, handle: WatcherHandle) -> None:
        self.targets = handle.targets
        self._handle = handle
        self._looks: dict[WatchTarget, Look] = {}

    def look(self, target: WatchTarget) -> Iterator[Candidate]:
        """Looks until the newest version is complete, or time alone will not make it so."""
        # Proposals are forgotten, since a bundle that was lost took its candidate along.
        look = replace(self._looks.get(target, Look()), proposed=None)
        failure: ArtifactError | None = None
        for attempt in range(_LOOKS):
            if attempt:
                time.sleep(self._handle.interval_secs)
            try:
                files = self._handle.lister.list_files(target.pattern, look.rule or target.rule)
            except ArtifactError as error:
                failure = error
                continue
            failure = None
            look, candidates = next_look(
                target,
                look,
                files,
                now_secs=time.monotonic(),
                settle_secs=self._handle.interval_secs,
            )
            self._looks[target] = look
            yield from candidates
            if not look.settling:
                break
        if failure is not None:
            raise failure


@beam.typehints.with_input_types(Block)
class CandidatesFromMessages(DoFn):
    """Blocks of messages -> candidates; what is wrong with messages goes to EVENTS.

    Messages that name models or releases become candidates at once. A notification of Cloud Storage
    causes a look under the patterns that cover its object.

    Counts ``refresh_messages``, ``refresh_messages_refused`` and ``refresh_messages_ignored`` in
    the namespace "ensemble".

    Args:
      models: the names of all models.
      lookout: looks for new versions.
      clock: tells the events' time, UTC.
    """

    def __init__(
        self,
        models: Sequence[str],
        lookout: Lookout,
        *,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._models = tuple(models)
        self._lookout = lookout
        self._clock = clock

    def process(self, block: Block) -> Iterator[Any]:
        """Reads the messages of one block; several notifications of one folder cause one look."""
        assert block.origins is not None, "messages have origins"
        Metrics.counter(NAMESPACE, REFRESH_MESSAGES).inc(len(block.payloads))
        targets: dict[WatchTarget, None] = {}
        for payload, origin in zip(block.payloads, block.origins, strict=True):
            match interpret(
                payload,
                origin,
                source=block.source,
                models=self._models,
                targets=self._lookout.targets,
            ):
                case Candidate() as candidate:
                    yield candidate
                case LookNow(covering):
                    targets.update(dict.fromkeys(covering))
                case Refused(reason):
                    Metrics.counter(NAMESPACE, f"{REFRESH_MESSAGES}_refused").inc()
                    yield self._event("rejected", reason, block.source, payload)
                case Ignored(reason):
                    Metrics.counter(NAMESPACE, f"{REFRESH_MESSAGES}_ignored").inc()
                    if reason is not None:
                        yield self._event("ignored", reason, block.source, payload)
        for target in targets:
            try:
                yield from self._lookout.look(target)
            except ArtifactError as error:
                reason = f"cannot look under {target.pattern}: {error}"
                yield self._event("rejected", reason, block.source)

    def _event(
        self, outcome: Outcome, reason: str, source: str, payload: bytes | None = None
    ) -> beam.pvalue.TaggedOutput:
        details: dict[str, Any] = {"source": f"event {source}"}
        if payload:
            details["message"] = shown(payload.decode(errors="replace"))
        event = ReleaseEvent(outcome, self._clock(), reason=reason, details=details)
        return beam.pvalue.TaggedOutput(EVENTS, event)

"""The models of one process: prepared beside those that serve, switched to by one assignment.

Somebody aspires to a release; a thread prepares it (loads what is missing, checks, warms up) and it
becomes active. Batches never wait for that: each takes the release that is active when it comes and
finds its servables by version, so releases that share a version share the servable. A release that
cannot be prepared is tried again after growing pauses, then given up; the active one stays.

What a release can be, and what may become of it: `serving.lifecycle`. What becomes of it:
`serving.switching`. What is in memory: `serving.version_table`. What goes from there:
`serving.retention`. Here are the threads and the waiting.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Container, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal

from pipeline.backends.base import Servable
from pipeline.backends.reasons import with_type
from pipeline.batch.release import ModelVersion, Release
from pipeline.errors import LoadError, is_interrupt
from pipeline.runner.job_thread import CLOSE_SECS, JobThread
from pipeline.serving import retention, switching
from pipeline.serving.activation import Activation, Timing
from pipeline.serving.files.artifacts import Fetched
from pipeline.serving.files.kept_copies import KeptCopies
from pipeline.serving.lifecycle import Lives, State
from pipeline.serving.opening import forget_locals, free
from pipeline.serving.process_handle import ProcessHandle
from pipeline.serving.version_table import Loader, VersionTable

MemoryPolicy = Literal["availability", "resource"]
_LOOK_SECS = 1.0
Preparation = Callable[[Release, "ReleaseManager"], object]


def load_all(release: Release, manager: ReleaseManager) -> None:
    """The least preparation: loads every model of `release`."""
    for version in release.versions:
        with manager.use(release, version.model):
            pass


class ReleaseManager:
    """Loads, switches, unloads. Every method may be called from any thread.

    Args:
      load: makes the servable of a version; called once for each version in memory.
      prepare: makes a release ready to serve, by way of `use`; raises when it must not serve.
      copies: told which versions are kept, so that the files of the others leave the disk.
      memory_policy: "availability" loads the new beside the old: two versions of a model are in
        memory, the active and the previous one, and a third while a release is prepared.
        "resource" unloads what changes first, so that there is one, and batches wait for the load.
      timing: pauses.
      clock: seconds, monotonic.
    """

    def __init__(
        self,
        load: Loader,
        *,
        prepare: Preparation = load_all,
        copies: KeptCopies | None = None,
        memory_policy: MemoryPolicy = "availability",
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prepare = prepare
        self._copies = copies
        self._on_disk: set[ModelVersion] = set()
        self._memory_policy = memory_policy
        self._timing = timing or Timing()
        self._clock = clock
        self._table = VersionTable(load, clock)
        # The table's lock guards everything, so that nothing comes between a look and an act.
        self._changed = threading.Condition(self._table.lock)
        self._lives = Lives()
        self._active: Release | None = None  # what `_lives` says, for readers without the lock
        self._activations: list[Activation] = []
        self._preparing = threading.Lock()  # one release is prepared or tried at a time
        self._thread: JobThread | None = None
        self._closed = False

    # --- releases

    def aspire(self, release: Release) -> None:
        """Asks for `release` to become active; returns at once. Older generations are ignored."""
        with self._changed:
            self._switch(switching.aspire(self._lives, release, self._clock()))
            if self._thread is None and self._lives.get(State.ASPIRED):
                self._thread = JobThread("releases", self._run)

    def active(self) -> Release | None:
        """The release that serves now, None before the first is ready. Never waits."""
        return self._active

    def lag_secs(self) -> float:
        """How long a newer release than the active one has been asked for; 0 if there is none."""
        with self._changed:
            return switching.lag_secs(self._lives, self._clock())

    def wait_active(self, release: Release) -> Release:
        """The active release; as long as there is none, aspires to `release` and waits.

        So the first batch of a process waits for the release it was told of, and for nothing older.

        Raises:
          Exception: why the aspired release was given up; the next call tries again.
          ThreadEndedError: nothing will be prepared any more.
        """
        if (active := self._active) is not None:
            return active
        self.aspire(release)
        with self._changed:
            while self._active is None:
                failed = None if self._lives.get(State.ASIDE) else self._lives.get(State.GIVEN_UP)
                if failed is not None and failed.error is not None:
                    self._switch(switching.forget_failure(self._lives))
                    raise failed.error
                if self._closed:
                    raise RuntimeError("the models of this process were closed")
                self._check_thread()
                self._changed.wait(_LOOK_SECS)
            return self._active

    def wait_for(self, generation: int, timeout_secs: float) -> bool:
        """Waits until it is known whether a generation serves.

        Returns:
          True once it or a newer one does, False once it was given up.

        Raises:
          TimeoutError: neither happened in time.
        """
        with self._changed:
            known = self._changed.wait_for(
                lambda: switching.is_decided(self._lives, generation) is not None, timeout_secs
            )
            if not known:
                raise TimeoutError(f"no word of generation {generation}; active: {self._active}")
            return bool(switching.is_decided(self._lives, generation))

    def ensure(self, release: Release) -> None:
        """Prepares `release` on this thread and makes it active, if nothing as new is.

        Raises:
          Exception: why it cannot be prepared; the next call tries again.
        """
        if (active := self._active) is None or active.generation < release.generation:
            error = self._attempt(release, retry=False)
            if error is not None:
                raise error

    def mark_prepared(self, release: Release) -> None:
        """Takes the caller's word that `release`, as it is in memory, was prepared to serve.

        It then becomes active without being prepared once more, unless one of its versions leaves
        memory before, or another release is marked.
        """
        self._table.mark_prepared(release)

    def drain_activations(self) -> list[Activation]:
        """What was attempted since the last call, in order.

        Raises:
          ThreadEndedError: nothing will be prepared any more.
        """
        with self._changed:
            drained, self._activations = self._activations, []
        if not drained:
            self._check_thread()
        return drained

    @contextmanager
    def trial(self, release: Release) -> Iterator[None]:
        """Prepared by the caller, in the ``with`` block, to find out whether `release` may serve.

        Nothing that it loads is evicted meanwhile. Afterwards it is unloaded at once, unless the
        block aspired to the release. With the policy "resource" the active release stands aside and
        what changes is unloaded first, as for any other preparation.
        """
        with self._preparing:
            before = self._table.versions()
            try:
                self._make_room(release)
                with self._changed:
                    self._switch(switching.begin_trial(self._lives, release))
                yield
            finally:
                with self._changed:
                    passed = switching.has_passed(self._lives, release)
                    self._switch(switching.end_trial(self._lives, release))
                    came = () if passed else set(release.versions) - before
                    going = self._table.remove(came)
                free(going)
                self._clear_disk()

    # --- servables

    def use(self, release: Release, model: str) -> AbstractContextManager[Servable]:
        """The servable of one model of a release, for the ``with`` block; loaded if it is missing.

        Raises:
          KeyError: the release has no such model.
          EnsembleError: it cannot be loaded; the next call tries again.
        """
        return self._table.use(release.version_of(model))

    def files_of(self, version: ModelVersion) -> Fetched | None:
        """The files that a version in memory was loaded from; None where nobody keeps them."""
        return self._copies.held(version) if self._copies else None

    def loaded(self) -> list[ModelVersion]:
        """The versions in memory, sorted."""
        return sorted(self._table.ready())

    def in_memory(self, release: Release) -> list[tuple[ModelVersion, Servable]]:
        """The versions of a release that are in memory, and their servables, to be looked at."""
        return list(self._table.ready(release.versions).items())

    def load_secs(self, release: Release, before: Container[ModelVersion] = ()) -> dict[str, float]:
        """Model -> how long loading took, for what is in memory of `release` but not `before`."""
        secs = self._table.load_secs()
        return {v.model: secs[v] for v in release.versions if v in secs and v not in before}

    @property
    def reloads(self) -> int:
        """How often a version was loaded again after it had been evicted."""
        return self._table.reloads

    def evict(self) -> None:
        """Unloads what the retention policy lets go; the thread does so by itself now and then."""
        with self._changed:
            keep, grace_secs = switching.kept(self._lives), self._timing.grace_secs
            going = self._table.remove(retention.evictable(self._table.loaded(), keep, grace_secs))
        free(going)
        self._clear_disk()

    def unload(self, versions: Collection[ModelVersion]) -> None:
        """Unloads versions that no release will need and nobody uses, at once."""
        free(self._table.remove(versions))
        self._clear_disk()

    def close(self) -> None:
        """Ends the thread and frees all servables, those in use when their last user leaves.

        A later `use` loads what it needs again.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(CLOSE_SECS)
        free(self._table.clear())
        if self._copies is not None:
            self._copies.keep_only(())  # other processes of the job may want what is on disk

    def _check_thread(self) -> None:
        if self._thread is not None:
            self._thread.check()

    def _switch(self, lives: Lives) -> None:
        """Takes over what a policy decided. Needs the lock."""
        if lives is not self._lives:
            self._lives = lives
            self._active = lives.release(State.ACTIVE)
            self._changed.notify_all()

    def _clear_disk(self) -> None:
        """Lets the files go of what is neither kept nor in memory, if there is something new."""
        if self._copies is None:
            return
        with self._changed:
            kept = {v for release in switching.kept(self._lives) for v in release.versions}
            kept |= self._table.versions()
            if kept == self._on_disk:
                return
            self._on_disk = kept
            # Under the lock: who loads a version is in the table before its files are fetched.
            self._copies.keep_only(kept)
        self._copies.evict()

    # --- preparing

    def _run(self) -> None:
        """What the thread does: prepares what is due, and evicts now and then."""
        # Often enough that a version goes soon after its grace, not one whole wait later.
        look_secs = max(self._timing.grace_secs / 8, 0.01)
        while True:
            with self._changed:
                if self._closed:
                    return
                action = switching.next_action(self._lives, self._clock())
                if not isinstance(action, Release):
                    self._changed.wait(min(action, look_secs))
            if isinstance(action, Release):
                self._attempt(action, retry=True)
            else:
                self.evict()

    def _attempt(self, release: Release, *, retry: bool) -> Exception | None:
        """Prepares a release and makes it active, unless a newer one came in the meantime.

        Returns:
          why it cannot be prepared.
        """
        with self._preparing:
            with self._changed:
                superseded = retry and self._lives.of(release).state is not State.ASPIRED
                if superseded or not switching.is_newer(self._lives, release):
                    return None
                self._switch(switching.begin(self._lives, release))
                attempt = self._lives.of(release).attempts
            started, before = self._clock(), set(self._table.ready())
            error: Exception | None = None
            try:
                self._make_room(release)
                if not self._table.is_prepared(release):
                    self._prepare(release, self)
            except BaseException as raised:
                if is_interrupt(raised):  # that says nothing of the release
                    with self._changed:
                        self._switch(switching.abandon(self._lives))
                    raise
                error = raised if isinstance(raised, Exception) else LoadError(with_type(raised))
                forget_locals(raised)
            with self._changed:
                now = self._clock()
                pause_secs = self._timing.pause_secs(attempt) if retry else None
                if error is None:
                    self._switch(switching.succeed(self._lives))
                else:
                    due_at = None if pause_secs is None else now + pause_secs
                    self._switch(switching.fail(self._lives, error, due_at))
                activation = Activation(
                    release,
                    error,
                    attempt,
                    final=error is None or pause_secs is None,
                    prepare_secs=now - started,
                    load_secs=self.load_secs(release, before),
                )
                self._activations.append(activation)
        return error

    def _make_room(self, release: Release) -> None:
        """Where memory is short, unloads what `release` replaces, once nobody uses it."""
        if self._memory_policy != "resource":
            return
        with self._changed:
            active = self._lives.release(State.ACTIVE)
            if active is None:
                return
            self._switch(switching.stand_aside(self._lives))
            changing = set(active.versions) - set(release.versions)
            self._table.wait_unused(changing)
            going = self._table.remove(changing)
        free(going)


@dataclass(frozen=True)
class ManagerHandle(ProcessHandle[ReleaseManager]):
    """The ReleaseManager of each process of a job."""

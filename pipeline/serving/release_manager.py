"""The models of one process: prepared beside those that serve, switched to by one assignment.

Life of a release here: *aspired* (somebody told us), *prepared* in a thread of its own (load what
is missing, check, warm up), *active*. Batches never wait for it: each takes the release that is
active when it comes and finds its servables by version, so releases that share a version share the
servable. A release that cannot be prepared is tried again after growing pauses, then given up; the
active one stays.

Life of a servable: loading, ready, evicted. It is evicted when no kept release names its version
and nobody has used it for a while; a batch that still names it causes a reload, which is counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Container, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from pipeline.backends.base import Servable
from pipeline.core.release import ModelVersion, Release
from pipeline.serving import retention
from pipeline.serving.activation import Activation, Timing
from pipeline.serving.artifacts import Fetched
from pipeline.serving.kept_copies import KeptCopies
from pipeline.serving.opening import forget_locals, free
from pipeline.serving.process_handle import ProcessHandle

MemoryPolicy = Literal["availability", "resource"]
Loader = Callable[[ModelVersion], Servable]
Preparation = Callable[[Release, "ReleaseManager"], object]


@dataclass
class _Entry:
    """One version in memory, or on its way there."""

    servable: Future[Servable] = field(default_factory=Future)
    users: int = 0
    last_use: float = 0.0
    load_secs: float = 0.0

    @property
    def ready(self) -> bool:
        return self.servable.done() and self.servable.exception() is None


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
        self._load = load
        self._prepare = prepare
        self._copies = copies
        self._kept: set[ModelVersion] = set()
        self._memory_policy = memory_policy
        self._timing = timing or Timing()
        self._clock = clock
        self._changed = threading.Condition()
        self._entries: dict[ModelVersion, _Entry] = {}
        self._evicted: set[ModelVersion] = set()
        self._aspired: Release | None = None
        self._aspired_at = 0.0
        self._given_up: Activation | None = None
        self._active: Release | None = None
        self._previous: Release | None = None
        self._aside: Release | None = None
        self._trial: Release | None = None
        self._preparing = threading.Lock()
        self._activations: list[Activation] = []
        self._thread: threading.Thread | None = None
        self._closed = False
        self._reloads = 0

    # --- releases

    def aspire(self, release: Release) -> None:
        """Asks for `release` to become active; returns at once. Older generations are ignored."""
        with self._changed:
            if self._aspired and release.generation <= self._aspired.generation:
                return
            self._aspired, self._aspired_at = release, self._clock()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="releases", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def active(self) -> Release | None:
        """The release that serves now, None before the first is ready. Never waits."""
        return self._active

    def lag_secs(self) -> float:
        """How long a newer release than the active one has been asked for; 0 if there is none."""
        with self._changed:
            aspired, active = self._aspired, self._active
            if aspired is None or active is None or aspired.generation <= active.generation:
                return 0.0
            return self._clock() - self._aspired_at

    def wait_active(self, release: Release) -> Release:
        """The active release; as long as there is none, aspires to `release` and waits.

        So the first batch of a process waits for the release it was told of, and for nothing older.

        Raises:
          Exception: why the aspired release was given up; the next call tries again.
        """
        if (active := self._active) is not None:
            return active
        self.aspire(release)
        with self._changed:
            while self._active is None:
                failure = None if self._aside else self._given_up
                if failure is not None and failure.error is not None:
                    self._given_up = self._aspired = None
                    raise failure.error
                if self._closed:
                    raise RuntimeError("the models of this process were closed")
                self._changed.wait()
            return self._active

    def ensure(self, release: Release) -> None:
        """Prepares `release` on this thread and makes it active, if nothing as new is.

        Raises:
          Exception: why it cannot be prepared; the next call tries again.
        """
        if self._active is None or self._active.generation < release.generation:
            activation = self._attempt(release, attempt=1, final=True)
            if activation.error is not None:
                raise activation.error

    def drain_activations(self) -> list[Activation]:
        """What was attempted since the last call, in order."""
        with self._changed:
            drained, self._activations = self._activations, []
            return drained

    @contextmanager
    def trial(self, release: Release) -> Iterator[None]:
        """Prepared by the caller, in the ``with`` block, to find out whether `release` may serve.

        Nothing that it loads is evicted meanwhile. Afterwards it is unloaded at once, unless the
        block aspired to the release. With the policy "resource" the active release stands aside and
        what changes is unloaded first, as for any other preparation.
        """
        with self._preparing:
            if self._memory_policy == "resource":
                self._make_room(release)
            with self._changed:
                self._trial = release
                before = set(self._entries)
            try:
                yield
            finally:
                with self._changed:
                    self._trial = None
                    passed = self._aspired == release
                    if not passed:
                        self._step_back()
                    going = [] if passed else self._remove(self._idle(release, before))
                free(going)
                self._clear_disk()

    # --- servables

    def files_of(self, version: ModelVersion) -> Fetched | None:
        """The files that a version in memory was loaded from; None where nobody keeps them."""
        return self._copies.held(version) if self._copies else None

    @contextmanager
    def use(self, release: Release, model: str) -> Iterator[Servable]:
        """The servable of one model of a release, for the ``with`` block; loaded if it is missing.

        Raises:
          KeyError: the release has no such model.
          EnsembleError: it cannot be loaded; the next call tries again.
        """
        entry = self._acquire(release.version_of(model))
        try:
            yield entry.servable.result()
        finally:
            with self._changed:
                entry.users -= 1
                entry.last_use = self._clock()
                self._changed.notify_all()

    def loaded(self) -> list[ModelVersion]:
        """The versions in memory, sorted."""
        with self._changed:
            return sorted(version for version, entry in self._entries.items() if entry.ready)

    def in_memory(self, release: Release) -> list[tuple[ModelVersion, Servable]]:
        """The versions of a release that are in memory, and their servables, to be looked at."""
        with self._changed:
            found = [(v, self._entries[v]) for v in release.versions if v in self._entries]
            return [(version, entry.servable.result()) for version, entry in found if entry.ready]

    def load_secs(self, release: Release, before: Container[ModelVersion] = ()) -> dict[str, float]:
        """Model -> how long loading took, for what is in memory of `release` but not `before`."""
        with self._changed:
            return {
                version.model: self._entries[version].load_secs
                for version in release.versions
                if version in self._entries and version not in before
            }

    @property
    def reloads(self) -> int:
        """How often a version was loaded again after it had been evicted."""
        return self._reloads

    def evict(self) -> None:
        """Unloads what the retention policy lets go; the thread does so by itself now and then."""
        with self._changed:
            now = self._clock()
            loaded = [
                retention.Loaded(version, entry.users, now - entry.last_use)
                for version, entry in self._entries.items()
                if entry.ready
            ]
            keep = self._kept_releases()
            going = self._remove(retention.evictable(loaded, keep, self._timing.grace_secs))
        free(going)
        self._clear_disk()

    def unload(self, versions: Collection[ModelVersion]) -> None:
        """Unloads versions that no release will need and nobody uses, at once."""
        with self._changed:
            there = [v for v in versions if v in self._entries]
            going = self._remove(
                [v for v in there if self._entries[v].ready and not self._entries[v].users]
            )
        free(going)
        self._clear_disk()

    def close(self) -> None:
        """Ends the thread and frees all servables. A later `use` loads what it needs again."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        with self._changed:
            going = self._remove([v for v, entry in self._entries.items() if entry.ready])
        free(going)
        if self._copies is not None:
            self._copies.keep_only(())  # other processes of the job may want what is on disk

    def _kept_releases(self) -> tuple[Release | None, ...]:
        given_up = self._given_up and self._given_up.release
        aspired = self._aspired if self._aspired != given_up else None
        return (self._active, self._previous, aspired, self._aside, self._trial)

    def _clear_disk(self) -> None:
        """Lets the files go of what is neither kept nor in memory, if there is something new."""
        if self._copies is None:
            return
        with self._changed:
            kept = {v for release in self._kept_releases() if release for v in release.versions}
            kept |= self._entries.keys()
            if kept == self._kept:
                return
            self._kept = kept
            # Under the lock: who loads a version is in the table before its files are fetched.
            self._copies.keep_only(kept)
        self._copies.evict()

    def _acquire(self, version: ModelVersion) -> _Entry:
        with self._changed:
            entry = self._entries.get(version)
            missing = entry is None
            if entry is None:
                entry = self._entries[version] = _Entry()
                self._reloads += version in self._evicted
            entry.users += 1
        if missing:
            started = self._clock()
            try:
                servable = self._load(version)
            except BaseException as error:
                with self._changed:
                    self._entries.pop(version, None)
                entry.servable.set_exception(error)
            else:
                entry.load_secs = self._clock() - started
                entry.servable.set_result(servable)
        return entry

    def _idle(self, release: Release, before: Container[ModelVersion]) -> list[ModelVersion]:
        """What came into memory of `release` since `before` and nobody uses."""
        came = [v for v in release.versions if v in self._entries and v not in before]
        return [v for v in came if self._entries[v].ready and not self._entries[v].users]

    def _remove(self, versions: list[ModelVersion]) -> list[Servable]:
        self._evicted.update(versions)
        return [self._entries.pop(version).servable.result() for version in versions]

    # --- the thread that prepares

    def _run(self) -> None:
        while (release := self._next()) is not None:
            pauses = self._timing.retry_secs
            for attempt in range(1, len(pauses) + 2):
                final = attempt > len(pauses)
                if self._attempt(release, attempt, final).error is None or final:
                    break
                if self._superseded(release, within_secs=pauses[attempt - 1]):
                    break

    def _next(self) -> Release | None:
        """Waits for a release to prepare, evicting now and then; None when closed."""
        while True:
            with self._changed:
                if self._closed:
                    return None
                aspired, given_up = self._aspired, self._given_up
                serving = self._active or self._aside
                newer = serving is None or (
                    aspired is not None and aspired.generation > serving.generation
                )
                if aspired and newer and (given_up is None or given_up.release != aspired):
                    return aspired
                # Often enough that a version goes soon after its grace, not one whole wait later.
                self._changed.wait(timeout=max(self._timing.grace_secs / 8, 0.01))
            self.evict()

    def _superseded(self, release: Release, within_secs: float) -> bool:
        """Waits; whether meanwhile something newer was aspired to, or the manager closed."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._closed or self._aspired != release, timeout=within_secs
            )

    def _attempt(self, release: Release, attempt: int, final: bool) -> Activation:
        with self._preparing:
            started = self._clock()
            before = set(self.loaded())
            if self._memory_policy == "resource":
                self._make_room(release)
            error: Exception | None = None
            try:
                self._prepare(release, self)
            except Exception as raised:
                error = raised
                forget_locals(error)
            with self._changed:
                activation = Activation(
                    release,
                    error,
                    attempt,
                    final=final or error is None,
                    prepare_secs=self._clock() - started,
                    load_secs=self.load_secs(release, before),
                )
                self._activations.append(activation)
                self._step_back()
                if error is None:
                    self._previous, self._active = self._active, release
                else:
                    self._given_up = activation if final else None
                self._changed.notify_all()
        return activation

    def _make_room(self, release: Release) -> None:
        """Takes the active release out of service and unloads what `release` replaces of it."""
        with self._changed:
            if self._active is None:
                return
            self._aside, self._active, self._previous = self._active, None, None
            changing = set(self._aside.versions) - set(release.versions)
            self._changed.wait_for(
                lambda: not any(self._entries[v].users for v in changing if v in self._entries)
            )
            going = self._remove([v for v in changing if v in self._entries])
        free(going)

    def _step_back(self) -> None:
        """Returns the release that stood aside to service."""
        self._active, self._aside = self._active or self._aside, None
        self._changed.notify_all()


@dataclass(frozen=True)
class ManagerHandle(ProcessHandle[ReleaseManager]):
    """The ReleaseManager of each process of a job."""

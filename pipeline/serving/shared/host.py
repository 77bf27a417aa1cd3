"""The process that holds the shared models of a machine; the others call it.

It opens a version for the first that asks, keeps it as long as anyone who asked is alive and has
not released it, and computes. Calls of several processes meet here and are merged, as those of
threads are. No method raises: whatever a model raises is answered, so an exception that a caller
sees says that this process is not there any more.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.backends.base import Servable
from pipeline.backends.reasons import own_words
from pipeline.batch.release import ModelVersion
from pipeline.batch.tensors import Signature
from pipeline.errors import EnsembleError, InferenceError, LoadError
from pipeline.serving.opening import Opening, free, start
from pipeline.serving.shared.arena import Address, Arena, ArenaError, Packed


@dataclass(frozen=True)
class Client:
    """Somebody who uses a version.

    Attributes:
      token: who; one for each servable of each process.
      pid, started: its process. The time of its start tells it from a later one of the same number.
    """

    token: str
    pid: int
    started: str


@dataclass(frozen=True)
class Description:
    """What a caller is told of a servable; see there."""

    signature: Signature
    device: str
    size_bytes: int
    warm_up_rows: tuple[int, ...]
    prepared_rows: int | None
    half_inside: bool


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
      kind: "done"; "failed": `value` is the exception; "unknown": the version is not open here.
      value: the result.
    """

    kind: Literal["done", "failed", "unknown"]
    value: Any = None


@dataclass
class _Entry:
    servable: Future[Servable] = field(default_factory=Future)
    clients: set[Client] = field(default_factory=set)
    calls: int = 0


def started(pid: int) -> str | None:
    """When a process was started, in ticks since boot (proc(5), stat); None where it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return None if fields[0] in ("Z", "X") else fields[19]


class ModelHost:
    """Opens, computes, frees. Every method may be called from any thread.

    Args:
      look_secs: how often it looks whether its clients are alive.
    """

    def __init__(self, look_secs: float) -> None:
        self._lock = threading.Lock()
        self._entries: dict[ModelVersion, _Entry] = {}
        self._arenas: dict[str, Arena] = {}
        self._look_secs = look_secs
        threading.Thread(target=self._watch, name="clients", daemon=True).start()

    def versions(self) -> frozenset[ModelVersion]:
        """The versions that are open, or about to be."""
        with self._lock:
            return frozenset(self._entries)

    def open(self, version: ModelVersion, opening: Opening, client: Client) -> Reply:
        """Opens a version for a client: a Description. Those who ask meanwhile wait."""
        with self._lock:
            entry = self._entries.get(version)
            missing = entry is None
            if entry is None:
                entry = self._entries[version] = _Entry()
            entry.clients.add(client)
        if missing:
            try:
                start([opening.spec.framework])
                entry.servable.set_result(opening())
            except Exception as error:
                with self._lock:
                    self._entries.pop(version, None)
                entry.servable.set_exception(error)
        try:
            servable = entry.servable.result()
        except Exception as error:
            return Reply("failed", _portable(error, LoadError))
        return Reply(
            "done",
            Description(
                servable.signature,
                servable.device,
                servable.size_bytes,
                servable.warm_up_rows,
                servable.prepared_rows,
                servable.half_inside,
            ),
        )

    def predict(
        self, version: ModelVersion, address: Address, inputs: Packed, merged: bool = True
    ) -> Reply:
        """Computes one batch, from a caller's memory into the same memory: Packed outputs.

        Unless it is `merged`, it is computed by itself, whoever calls meanwhile.
        """
        try:
            return self._computed(version, address, inputs, merged)
        except Exception as error:
            return Reply("failed", _portable(error, InferenceError))
        finally:
            self._free_unused()

    def release(self, version: ModelVersion, token: str) -> Reply:
        """A client needs the version no more; without clients it is freed."""
        self._keep_clients(lambda of, client: of != version or client.token != token)
        self._free_unused()
        return Reply("done")

    def reach(self, address: Address) -> Reply:
        """Whether a caller's memory can be reached from here."""
        try:
            self._arena(address)
        except ArenaError as error:
            return Reply("failed", error)
        return Reply("done")

    def _computed(
        self, version: ModelVersion, address: Address, inputs: Packed, merged: bool
    ) -> Reply:
        with self._lock:
            entry = self._entries.get(version)
            if entry is None or not entry.servable.done():
                return Reply("unknown")
            entry.calls += 1
        try:
            arena = self._arena(address)
            servable = entry.servable.result()
            if not merged:
                servable = servable.unmerged()
            outputs = servable.predict(arena.get(inputs, copy=False))
            # Behind the inputs, since a model may return what it was given.
            return Reply("done", arena.put(outputs, inputs.end))
        finally:
            with self._lock:
                entry.calls -= 1

    def _arena(self, address: Address) -> Arena:
        with self._lock:
            if address.name not in self._arenas:
                self._arenas[address.name] = Arena.attach(address)
            return self._arenas[address.name]

    def _watch(self) -> None:
        tick = threading.Event()
        while not tick.wait(self._look_secs):
            self._keep_clients(lambda _, client: started(client.pid) == client.started)
            self._free_unused()
            with self._lock:
                for name, arena in list(self._arenas.items()):
                    if started(arena.address.pid) is None:
                        self._arenas.pop(name).close()

    def _keep_clients(self, stays: Callable[[ModelVersion, Client], bool]) -> None:
        with self._lock:
            for version, entry in self._entries.items():
                entry.clients = {client for client in entry.clients if stays(version, client)}

    def _free_unused(self) -> None:
        """Frees what is open, has no clients and computes nothing just now."""
        with self._lock:
            unused = [
                version
                for version, entry in self._entries.items()
                if not entry.clients and not entry.calls and entry.servable.done()
            ]
            going = [self._entries.pop(version).servable.result() for version in unused]
        free(going)


def _portable(error: Exception, otherwise: type[EnsembleError]) -> Exception:
    """An exception that every process can unpickle, without the framework that raised it."""
    if type(error).__module__ in ("builtins", "pipeline.errors"):
        try:
            copy = pickle.loads(pickle.dumps(error))
        except Exception:
            copy = None
        if type(copy) is type(error):
            return error
    return otherwise(f"{type(error).__name__}: {own_words(error)}")

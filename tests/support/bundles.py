"""Bundles of a source, finalized when a test says so, if ever."""

from __future__ import annotations

from collections.abc import Callable


class Bundle:
    """What a runner hands to a step as its finalizer."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[], None]] = []

    def register(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def finalize(self) -> None:
        callbacks, self.callbacks = self.callbacks, []
        for callback in callbacks:
            callback()

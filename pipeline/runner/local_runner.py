"""The local runner: Beam's FnApiRunner in this process, fit for jobs that run for hours."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from apache_beam.runners.portability.fn_api_runner import FnApiRunner, fn_runner

from pipeline.runner.loopback import stay_on_loopback


def local_runner() -> FnApiRunner:
    """A runner for batch and stream.

    The DirectRunner would choose among three runners by looking at the graph; this one is the
    fastest of them and the only one that this project is tested on.
    """
    _make_metrics_eager()
    stay_on_loopback()
    return FnApiRunner()


def _make_metrics_eager() -> None:
    """Keeps Beam from putting off the sum of its metrics.

    Beam 2.77 adds up the metrics of all bundles lazily, with a generator for each bundle that holds
    that of the bundle before: megabytes a second in a stream, and a recursion error when somebody
    asks for the sum.
    """
    lazy: Callable[[Iterable[Any]], Iterable[Any]] = fn_runner.consolidate_monitoring_infos
    if getattr(lazy, "eager", False):
        return

    def consolidate(infos: Iterable[Any]) -> list[Any]:
        return list(lazy(infos))

    consolidate.eager = True  # type: ignore[attr-defined]
    fn_runner.consolidate_monitoring_infos = consolidate

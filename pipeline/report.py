"""What a person sees on the terminal: progress, the dry run's description, the summary."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TextIO

from pipeline.core.graph import describe_graph
from pipeline.core.tensors import Signature, describe
from pipeline.launch import Job
from pipeline.serving.tally import Count


class Progress:
    """Lines about work under way; on a terminal the running count rewrites its line.

    Args:
      stream: where to write.
      interval_secs: between two lines of the running count; by default 0.5 s on a terminal, 10 s
        in a log.
    """

    def __init__(self, stream: TextIO | None = None, interval_secs: float | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._interval = interval_secs or (0.5 if self._terminal else 10.0)
        self._started = time.monotonic()
        self._rewriting = False

    def say(self, message: str) -> None:
        """One line, with the seconds since the start."""
        self._end_line()
        print(f"[{self.elapsed_secs:6.1f} s] {message}", file=self._stream, flush=True)

    @property
    def elapsed_secs(self) -> float:
        """Seconds since this object was made."""
        return time.monotonic() - self._started

    def watch(self, read: Callable[[], Count]) -> _Watch:
        """Shows the count while the ``with`` block runs."""
        return _Watch(self, read)

    def _count(self, count: Count, rate: float) -> None:
        text = (
            f"{count.records:,} records, {rate:,.0f}/s, {count.dead_letters:,} dead letters"
            if count.records
            else "running"
        )
        if self._terminal:
            print(
                f"\r[{self.elapsed_secs:6.1f} s] {text:<70}", end="", file=self._stream, flush=True
            )
            self._rewriting = True
        else:
            self.say(text)

    def _end_line(self) -> None:
        if self._rewriting:
            print(file=self._stream)
            self._rewriting = False


class _Watch:
    def __init__(self, progress: Progress, read: Callable[[], Count]) -> None:
        self._progress = progress
        self._read = read
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._progress._end_line()

    def _run(self) -> None:
        last, at = Count(), time.monotonic()
        while not self._stop.wait(self._progress._interval):
            count, now = self._read(), time.monotonic()
            self._progress._count(count, (count.records - last.records) / (now - at))
            last, at = count, now


def dry_run(job: Job) -> str:
    """The resolved graph, the models and their signatures, as text."""
    spec, rehearsal = job.graph.spec, job.rehearsal
    lines = [f"Ensemble '{spec.name}', release {job.release.release_id}", ""]
    lines += ["Graph (columns read -> columns made)", describe_graph(job.graph), "", "Models"]
    for model in job.graph.models:
        servable = rehearsal.servables[model.name]
        version = job.release.version_of(model.name)
        lines.append(
            f"  {model.name}: {model.framework}, version {version.label}, on {servable.device}, "
            f"{_size(servable.size_bytes)}, {version.uri}"
        )
        lines += _signature(servable.signature)
    lines += ["", "Columns"]
    width = max(len(name) for name in rehearsal.types)
    lines += [
        f"  {name:<{width}}  {describe(dtype, shape)}"
        for name, (dtype, shape) in rehearsal.types.items()
    ]
    return "\n".join(lines)


def summary(counters: Mapping[str, int], job: Job, elapsed_secs: float) -> str:
    """What became of the records.

    Args:
      counters: names as in `transforms.encode`, and their values.
      job: the job that ran.
      elapsed_secs: how long it ran.
    """
    predictions, dead = counters.get("predictions", 0), counters.get("dead_letters", 0)
    if not predictions + dead:
        return "No records: the input files are empty. Nothing was written."
    lines = [f"{predictions + dead:,} records in {elapsed_secs:.1f} s"]
    if predictions:
        lines.append(f"{predictions:>9,} predictions   {job.settings.output_path}-*.jsonl")
    if dead:
        lines.append(f"{dead:>9,} dead letters  {job.settings.dead_letter_path}-*.jsonl")
        kinds = {n: c for n, c in counters.items() if n.startswith("dead_letters/")}
        for name, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0])):
            lines.append(f"{count:>19,} {name.removeprefix('dead_letters/').replace('/', ': ')}")
    return "\n".join(lines)


def _signature(signature: Signature) -> list[str]:
    lines = []
    for kind, tensors in (("in ", signature.inputs), ("out", signature.outputs)):
        if tensors is None:
            lines.append(f"    {kind} not declared by this format")
        else:
            lines += [f"    {kind} {tensor}" for tensor in tensors]
    if signature.fixed_batch_rows:
        lines.append(f"    takes exactly {signature.fixed_batch_rows} rows a call")
    return lines


def _size(size_bytes: int) -> str:
    size, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"

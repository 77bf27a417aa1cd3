"""The streaming benchmark: Pub/Sub to Pub/Sub, through the emulator.

    python -m benchmarks.stream          about 2 minutes; rewrites its part of the document
    python -m benchmarks.stream --quick  that it all runs and no record is lost

main.py reads records of 64 numbers from a subscription, averages two small ONNX networks and
publishes the predictions, while another process publishes records at ever higher rates. Then the
latency is measured at half the highest rate that it kept up with. Exits with 1 where there is no
emulator.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from benchmarks.stream.job import Job, JobError
from benchmarks.stream.load import Publisher, Receiver
from benchmarks.stream.run import Bench, Step
from benchmarks.support import command_line, machine, pictures, sections
from tests.support.emulators import EmulatorError, PubSub, PubSubEmulator

_WARM_UP_RATE = 100
_RATES = (4_000, 8_000, 10_000, 12_500, 15_000, 20_000)
_HEADER = (
    "records/s",
    "published/s",
    "predicted/s",
    "backlog",
    "grows by/s",
    "p50 ms",
    "p99 ms",
    "cores: job",
    "load",
    "all",
    "",
)


def main() -> int:
    options = _parse()
    measured_on = machine.describe()
    try:
        with tempfile.TemporaryDirectory() as folder, _started(Path(folder), options) as bench:
            steps = list(_climb(bench, options.rates))
            kept = [step.rate for step in steps if step.is_sustained]
            half = (max(kept) if kept else options.rates[0]) / 2
            rounds = [_shown(bench.step(half)) for _ in range(options.rounds)]
    except (EmulatorError, JobError) as error:
        print(error, file=sys.stderr)
        return 1
    figures = figures_of(steps, kept, rounds)
    print(f"\n{figures}\n\n{measured_on}")
    if not options.quick:
        publish(options.docs, figures, measured_on, steps, rounds)
    return 0


@contextmanager
def _started(folder: Path, options: argparse.Namespace) -> Iterator[Bench]:
    """Emulator, job, publisher and receiver; at the end, the counts of all are compared.

    Raises:
      EmulatorError: there is no emulator.
      JobError: the job fails, or counted otherwise.
    """
    with ExitStack() as stack:
        emulator = PubSubEmulator(folder)
        stack.callback(emulator.stop)
        pubsub = PubSub(emulator.address)
        records, predictions = pubsub.new_topic(), pubsub.new_topic()
        subscription = pubsub.new_subscription(records)
        reader = pubsub.new_subscription(predictions)
        job = stack.enter_context(Job(folder, emulator.address, subscription, predictions))
        publisher = stack.enter_context(Publisher(emulator.address, records))
        receiver = stack.enter_context(Receiver(emulator.address, reader))
        bench = Bench(job, publisher, receiver, options.settle_secs, options.secs)
        bench.step(_WARM_UP_RATE)  # also waits until the job has started
        yield bench
        counted, dead_letters = job.stop()
        print(
            f"{publisher.published:,} records published, {receiver.received:,} predicted, "
            f"{receiver.repeated:,} of them more than once, {dead_letters:,} dead letters"
        )
        if dead_letters or counted != receiver.received + receiver.repeated:
            raise JobError(
                f"main.py counted {counted:,} predictions and {dead_letters:,} dead letters; "
                f"{receiver.received + receiver.repeated:,} predictions were received"
            )


def _climb(bench: Bench, rates: Sequence[int]) -> Iterator[Step]:
    """Steps of growing rates, until one that fails twice; then half a step back, for precision."""
    reached = 0
    for rate in rates:
        step = _shown(bench.step(rate))
        if not step.is_sustained:
            step = _shown(bench.step(rate))
        yield step
        if not step.is_sustained:
            if reached:
                yield _shown(bench.step((reached + rate) / 2))
            return
        reached = rate


def _shown(step: Step) -> Step:
    print(
        "  " + "  ".join(f"{n} {v}" for n, v in zip(_HEADER, _row(step), strict=True)), flush=True
    )
    return step


def figures_of(steps: Sequence[Step], kept: Sequence[float], rounds: Sequence[Step]) -> str:
    table = sections.table(_HEADER, [_row(step) for step in sorted(steps, key=lambda s: s.rate)])
    p50, p99 = (1000 * median(getattr(s, f"{p}_secs") for s in rounds) for p in ("p50", "p99"))
    sustained = f"{max(kept):,.0f} records/s" if kept else f"less than {steps[0].rate:,.0f}"
    return (
        f"{table}\n\n"
        f"Sustained: **{sustained}**. At {rounds[0].rate:,.0f} records/s, median of {len(rounds)} "
        f"rounds: **p50 {p50:.0f} ms, p99 {p99:.0f} ms**."
    )


def publish(
    document: Path, figures: str, measured_on: str, steps: Sequence[Step], rounds: Sequence[Step]
) -> None:
    picture = "Latency by rate"
    sections.rewrite(document, "streaming", figures, command_line.used(), measured_on, picture)
    p50, p99 = (1000 * median(getattr(s, f"{p}_secs") for s in rounds) for p in ("p50", "p99"))
    sections.summarise(
        document,
        "Stream, Pub/Sub to Pub/Sub",
        f"{max((s.rate for s in steps if s.is_sustained), default=0):,.0f} records/s sustained",
        f"at half of that: p50 {p50:.0f} ms, p99 {p99:.0f} ms from end to end",
    )
    _draw(steps, document.with_name("streaming.png"))


def _draw(steps: Sequence[Step], path: Path) -> None:
    """Latency by rate, up to the first rate that was not kept up with."""
    steps = sorted(steps, key=lambda step: step.rate)
    rates = [step.rate for step in steps]
    picture, panel = pictures.figure(1, 1, 9, 3.6)
    for name, colour, marker in (("p99", pictures.ORANGE, "s"), ("p50", pictures.BLUE, "o")):
        latencies = [1000 * getattr(step, f"{name}_secs") for step in steps]
        panel.plot(rates, latencies, color=colour, marker=marker, label=name)
    behind = [step.rate for step in steps if not step.is_sustained]
    if behind:
        panel.axvspan(behind[0], max(rates) * 1.02, color=pictures.GREY, alpha=0.3)
        panel.text(behind[0], 0.03, " falls behind", transform=panel.get_xaxis_transform())
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter("{x:,.0f}")
    panel.xaxis.set_major_formatter("{x:,.0f}")
    panel.grid(axis="y")
    panel.set_xlabel("records/s published")
    panel.set_ylabel("latency, ms (logarithmic)")
    panel.set_title("Pub/Sub to Pub/Sub, emulator on the same two cores")
    panel.legend(loc="upper left")
    pictures.save(picture, path)


def _row(step: Step) -> tuple[str, ...]:
    if step.is_sustained:
        verdict = "sustained"
    else:
        verdict = "falls behind" if step.was_published else "not published"
    return (
        f"{step.rate:,.0f}",
        f"{step.published:,.0f}",
        f"{step.predicted:,.0f}",
        f"{step.backlog:,.0f}",
        f"{step.growth:+,.0f}",
        f"{1000 * step.p50_secs:,.0f}",
        f"{1000 * step.p99_secs:,.0f}",
        f"{step.job_cores:.2f}",
        f"{step.load_cores:.2f}",
        f"{step.all_cores:.2f}",
        verdict,
    )


def _parse() -> argparse.Namespace:
    parser = command_line.parser("Measures a stream from Pub/Sub to Pub/Sub.")
    parser.add_argument("--rates", type=int, nargs="*", help="records/s, in ascending order")
    parser.add_argument("--secs", type=float, help="to look at each rate; default 6")
    parser.add_argument("--rounds", type=int, help="of latency; default 2")
    options = parser.parse_args()
    options.rates = options.rates or ([200] if options.quick else list(_RATES))
    options.secs = options.secs or (1.0 if options.quick else 6.0)
    options.settle_secs = 1.0 if options.quick else 2.0
    options.rounds = options.rounds or (1 if options.quick else 2)
    return options


if __name__ == "__main__":
    sys.exit(main())

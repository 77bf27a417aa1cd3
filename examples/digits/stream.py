r"""Refreshes a model while records stream through the ensemble, and shows it as it happens.

    python examples/digits/stream.py --output_dir build/digits
    python examples/digits/stream.py --output_dir build/digits --through pubsub

starts main.py on the held-out digits, again and again. The forest of its first release is a single
tree. Then a real forest is dropped, then one whose file was cut short, then everything is rolled
back. At the end there are a table, a picture and a page: ``streaming/report.png`` and
``report.html``, or the same under ``pubsub/``. It takes about a minute.

The exit status is 0 only if the models became what they should and no record was lost.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

from evaluate import heading, table
from streaming import picture, report
from streaming.account import Account
from streaming.acts import Director, UnexpectedError, better_corrupt_back
from streaming.channel import Channel, Outputs, finished_lines
from streaming.demo import Demo, StalledError
from streaming.emulator import Emulator, EmulatorError
from streaming.feed import read_lines, records
from streaming.folder import FolderChannel
from streaming.job import Job, JobError
from streaming.summary import Summary, summarise
from streaming.timeline import Timeline
from streaming.versions import prepare

TITLES = {
    "folder": "A model is refreshed under a stream of files",
    "pubsub": "A model is refreshed under a stream of Pub/Sub messages",
}
# What the longest gap is to be held against.
NOTES = {
    "folder": "A folder is looked at twice a second, which alone makes gaps of half a second.",
    "pubsub": "Records are published ten times a second, which alone makes gaps of 100 ms.",
}
FOLDERS = {"folder": "streaming", "pubsub": "pubsub"}


def main() -> None:
    options = parse()
    folder = options.output_dir / FOLDERS[options.through]
    try:
        summary, timeline, account = play(options, folder)
    except EmulatorError as error:
        sys.exit(f"Not started: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped before its end: there is no report.")
    except (JobError, StalledError, UnexpectedError) as error:
        sys.exit(f"\nThe demo failed: {error}")
    show(summary, NOTES[options.through], folder)
    report.write(
        TITLES[options.through],
        NOTES[options.through],
        summary,
        timeline.entries,
        folder / "report.png",
        folder / "report.html",
    )
    if not account.is_balanced:
        sys.exit(1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Refreshes a model under a stream of records.")
    parser.add_argument("--output_dir", type=Path, default=Path("build/digits"))
    parser.add_argument("--through", choices=sorted(TITLES), default="folder")
    parser.add_argument("--seconds", type=float, default=36.0, help="of feeding, about")
    parser.add_argument("--records_per_sec", type=float, default=200.0)
    parser.add_argument("--image", help="run main.py in a container of this image")
    options = parser.parse_args()
    for needed, script in (("models/dense/1", "train.py"), ("records", "make_records.py")):
        if not (options.output_dir / needed).exists():
            sys.exit(
                f"{options.output_dir / needed} is missing: run "
                f"`python examples/digits/{script} --output_dir {options.output_dir}` first."
            )
    return options


def play(options: argparse.Namespace, folder: Path) -> tuple[Summary, Timeline, Account]:
    """Runs the demo and draws its picture."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    folder = folder.resolve()  # main.py runs in another folder
    timeline = Timeline()
    with ExitStack() as stack:
        channel = connect(options.through, folder, stack)
        prepare(options.output_dir, folder)
        spec = f"--ensemble_spec={folder}/ensemble.yaml"
        arguments = [spec, *channel.arguments()]
        job = stack.enter_context(Job(arguments, folder / "main.log", options.image))
        acts = better_corrupt_back(
            channel, options.output_dir / "models" / "forest" / "1", folder / "models" / "forest"
        )
        demo = Demo(
            channel,
            job,
            records(read_lines(options.output_dir / "records")),
            options.records_per_sec,
            Director(acts, options.seconds),
            timeline,
            folder,
        )
        history = demo.run()
    outputs = Outputs(folder)
    account = demo.account.audit(
        finished_lines(outputs.predictions), finished_lines(outputs.dead_letters)
    )
    summary = summarise(history, account)
    title = f"{TITLES[options.through]}\n{summary.subtitle}"
    picture.draw(history, title, folder / "report.png")
    return summary, timeline, account


def connect(through: str, folder: Path, stack: ExitStack) -> Channel:
    if through == "folder":
        return FolderChannel(folder)
    print("The Pub/Sub emulator starts.", flush=True)
    stack.enter_context(Emulator(folder))
    from streaming.pubsub import PubSubChannel  # takes a second, and a folder needs none of it

    return PubSubChannel(folder, stack)


def show(summary: Summary, note: str, folder: Path) -> None:
    heading("The run in numbers")
    width = max(len(name) for name, _ in summary.facts)
    for name, value in summary.facts:
        print(f"  {name:{width}}  {value:>8}")
    print(f"  {note}")
    heading("By release")
    table(
        ("generation", "predictions", "forest right %", "ensemble right %", "models"),
        summary.releases,
    )
    print(f"\n{summary.verdict[0].upper()}{summary.verdict[1:]}.")
    heading("Files")
    print(f"  {folder}/report.png and report.html")
    print(f"  {folder}/run.html and main.log, main.py's own report and words")


if __name__ == "__main__":
    main()
